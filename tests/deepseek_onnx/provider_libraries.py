"""Libraries of providers that load badly, compiled where there is a compiler."""

import shutil
import subprocess

BODIES = {
    "crashes": "  raise(SIGSEGV); return 0;",
    "exits": "  _exit(3);",
    "hangs": "  for (;;) pause();",
    # The first entry of the table of functions makes a status: (code, message).
    "refuses": (
        "  void *(**table)(int, const char *) = base->api(1);\n"
        '  return table[0](1, "the accelerator is on strike");'
    ),
    "too new": (
        "  if (base->api(9999)) return 0;\n"
        "  void *(**table)(int, const char *) = base->api(1);\n"
        '  return table[0](1, "built for ONNX Runtime API 9999");'
    ),
    "tells its name": (
        "  void *(**table)(int, const char *) = base->api(1);\n  return table[0](1, name);"
    ),
    "offers nothing": "  *count = 0; return 0;",
}
_SOURCE = """
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
typedef struct { void *(*api)(uint32_t); const char *(*version)(void); } Base;
void *CreateEpFactories(const char *name, const Base *base, const void *logger, void **factories,
                        size_t most, size_t *count) {
%s
}
void *ReleaseEpFactory(void *factory) { return 0; }
"""
COMPILER = shutil.which("cc") or shutil.which("gcc")


def package(folder, name, library):
    """A package that tells of this library, as vendors' packages do."""
    made = folder / name
    made.mkdir(parents=True, exist_ok=True)
    text = f"def get_library_path():\n    return {str(library)!r}\n"
    (made / "__init__.py").write_text(text)


def compile_library(path, body):
    """A library whose first call does this."""
    source = path.with_suffix(".c")
    source.write_text(_SOURCE % body)
    command = [COMPILER, "-shared", "-fPIC", "-w", str(source), "-o", str(path)]
    subprocess.run(command, check=True, timeout=60)
