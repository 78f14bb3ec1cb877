"""The ports of the domain and of the ways in, implemented on DynamoDB, S3, Kinesis and SQS by way of
`wordtally.aws`."""
