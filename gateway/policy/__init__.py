"""Stage `authorize`: what the policies say of a call."""
