"""Keys that another program gives: `credential_process` of a profile, or botocore.

botocore is asked for what it alone does well: roles that other keys assume, and single sign-on.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from importlib import import_module
from typing import Any, Final

from deepseek_storage_s3 import key_answers
from deepseek_storage_s3.keys import Keys, KeyTrouble

_PATIENCE_S: Final = 60.0
_FRESH_S: Final = 900.0  # botocore's own keys are good for at least ten minutes when it gives them
_LONGEST: Final = 300


def of_process(command: str) -> Keys:
    """The keys that a program prints.

    Raises:
        KeyTrouble: it does not run, fails, or prints no keys.
    """
    remedy = "run the credential_process of the profile by hand, and fix it"
    try:
        run = subprocess.run(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, ValueError) as error:
        raise KeyTrouble(f"it can't be run: {error}", remedy=remedy) from None
    except subprocess.TimeoutExpired:
        raise KeyTrouble(f"it gave no keys within {_PATIENCE_S:.0f} s", remedy=remedy) from None
    if run.returncode:
        said = run.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:_LONGEST]
        why = f"it ended with {run.returncode}{f': {said}' if said else ''}"
        raise KeyTrouble(why, remedy=remedy)
    return key_answers.of_json(run.stdout, session="SessionToken", remedy=remedy, version=1)


class BotocoreKeys:
    """The keys of a profile that botocore makes, and renews."""

    def __init__(self, profile: str) -> None:
        self._profile = profile
        self._found: Any = None

    def fetch(self) -> Keys:
        """Keys that are good for ten minutes at least.

        Raises:
            KeyTrouble: botocore is not installed, or gives none.
        """
        try:
            session = import_module("botocore.session")
        except ImportError:
            raise KeyTrouble(
                "it takes botocore, which is not installed",
                remedy="pip install botocore, or set the profile's credential_process to "
                f"aws configure export-credentials --profile {self._profile}",
            ) from None
        failed = import_module("botocore.exceptions")
        try:
            if self._found is None:
                self._found = session.Session(profile=self._profile).get_credentials()
            return self._keys_of(self._found)
        except failed.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            why = f"{error.operation_name} was refused: {code[:100] or 'no code'}"
            raise KeyTrouble(why, remedy=_remedy(self._profile)) from None
        except (failed.BotoCoreError, OSError, ValueError) as error:
            words = " ".join(str(error).split())[:_LONGEST]
            is_passing = isinstance(error, failed.HTTPClientError)
            why = f"{type(error).__name__}: {words}"
            raise KeyTrouble(why, remedy=_remedy(self._profile), is_passing=is_passing) from None

    def _keys_of(self, found: Any) -> Keys:
        if found is None:
            raise KeyTrouble("botocore finds no keys in it", remedy=_remedy(self._profile))
        frozen = found.get_frozen_credentials()
        is_lasting = not hasattr(found, "refresh_needed")
        return Keys(
            access_key=frozen.access_key,
            secret_key=frozen.secret_key,
            token=frozen.token,
            expires_s=None if is_lasting else time.time() + _FRESH_S,
        )


def _remedy(profile: str) -> str:
    return f"see what the AWS command line says: aws sts get-caller-identity --profile {profile}"
