"""A thin client of DynamoDB and S3: the calls that this product makes, and nothing else."""
