"""Implements the ports of the domain and of the ways in on DynamoDB, S3, Kinesis and SQS, through
`wordtally.aws`."""
