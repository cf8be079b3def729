"""ftrace: files that trace-cmd writes."""
