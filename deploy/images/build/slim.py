"""Delete files in /opt/runtime that no node loads: tests, headers, source maps, binaries of other platforms."""

import platform
import shutil
import sys
import zipfile
from pathlib import Path

PACKAGES = next(Path(sys.prefix).glob("lib/python3*/site-packages"))
# Packages whose tests nothing else imports.
TESTED = ("dask", "distributed", "matplotlib", "pandas", "pyarrow", "pyspark")
HEADERS = ("pyarrow/include", "pyarrow/src", "numpy/_core/include")
# Spark on Kubernetes by itself, which standalone nodes never are, and what it alone needs.
FOREIGN_JARS = (
    "kubernetes-*",
    "spark-kubernetes_*",
    "vertx-*",
    "zjsonpatch-*",
    "netty-*-osx-*",
    "netty-*-windows-*",
)
MACHINES = {
    "x86_64": ("linux64", "Linux/x86_64/", "linux/amd64/"),
    "aarch64": ("linux-aarch64", "Linux/aarch64/", "linux/aarch64/"),
}
NATIVE = (".so", ".dll", ".dylib", ".jnilib", ".a")
# Jars that carry one binary for each platform there is.
MANY_PLATFORMS = ("rocksdbjni-*", "snappy-java-*", "zstd-jni-*")


def main() -> None:
    for name in TESTED:
        for folder in [path for path in (PACKAGES / name).rglob("tests") if path.is_dir()]:
            shutil.rmtree(folder, ignore_errors=True)
    for name in HEADERS:
        shutil.rmtree(PACKAGES / name, ignore_errors=True)
    for path in Path(sys.prefix).rglob("*.map"):
        path.unlink()
    jars = PACKAGES / "pyspark" / "jars"
    for pattern in FOREIGN_JARS:
        for jar in jars.glob(pattern):
            jar.unlink()
    for pattern in MANY_PLATFORMS:
        for jar in jars.glob(pattern):
            keep_own_platform(jar)


def keep_own_platform(jar: Path) -> None:
    draft = jar.with_suffix(".new")
    with zipfile.ZipFile(jar) as old, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            if not entry.filename.endswith(NATIVE) or is_own(entry.filename):
                new.writestr(entry, old.read(entry))
    draft.replace(jar)


def is_own(name: str) -> bool:
    return any(mark in name for mark in MACHINES[platform.machine()])


if __name__ == "__main__":
    main()
