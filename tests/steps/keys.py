"""Members of a team with their own keys, for tests of who may do what."""

from __future__ import annotations

import subprocess
import sys

from modelgate.tracking.fingerprint import ROOT

TEAM = "vision"


def admin(server, *arguments):
    command = [sys.executable, "-m", "modelgate_server", "admin", "--data", str(server.data), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def member(server, name, role):
    """Put someone into the organization and the team; returns the key."""
    key = admin(server, "add-user", name)
    admin(server, "add-member", "local-org", name, "--role", role)
    admin(server, "add-team-member", TEAM, name, "--role", role)
    return key
