"""A shell completes the commands of the installed script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_shell_completes_a_command(tmp_path: Path) -> None:
    words = {"COMP_WORDS": "netbasis bala", "COMP_CWORD": "1", "_NETBASIS_COMPLETE": "complete_bash"}
    script = Path(sys.executable).with_name("netbasis")
    done = subprocess.run([script], cwd=tmp_path, env=os.environ | words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["balance"]
