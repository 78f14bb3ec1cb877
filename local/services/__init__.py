"""Stand-ins for the services that AWS runs around the function: API Gateway, Lambda and its event sources."""
