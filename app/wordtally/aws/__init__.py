"""A thin client of DynamoDB, S3, Kinesis and SQS: only the calls that this product makes."""
