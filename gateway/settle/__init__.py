"""What a call has used is charged, and the call goes on record."""
