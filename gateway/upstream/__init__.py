"""Part of stage `upstream`: where a call goes, and how its answer is read."""
