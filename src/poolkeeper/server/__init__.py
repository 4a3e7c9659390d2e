"""What the database server itself says about its sessions."""
