"""The core. It knows no check, no device and no vendor; the face hands them in."""
