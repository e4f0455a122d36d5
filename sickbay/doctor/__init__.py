"""What this host lets this user look at: the abilities behind `sickbay doctor`. It reads only, and asks no engine."""
