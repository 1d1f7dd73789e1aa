"""The folders of a node's container, and the scripts of Slipway that run in it.

The scripts find the hooks of the role in SLIPWAY_HOOK_READY, _DRAIN and _BUSY; a hook that does not exist is "".
"""

from typing import Final

HOME, WORK, TMP, SHARED = "/home/slipway", "/work", "/tmp", "/shared"  # noqa: S108 - folders of a pod
CONF, APP = "/conf", "/app"
RUNTIME, PYTHON, JAVA = "/opt/runtime", "/opt/runtime/bin/python", "/opt/java"
TINI = "/usr/bin/tini"

SCRIPTS_FOLDER: Final = ".slipway"
READY: Final = f"{APP}/{SCRIPTS_FOLDER}/ready"
DRAIN: Final = f"{APP}/{SCRIPTS_FOLDER}/drain"
BUSY: Final = f"{APP}/{SCRIPTS_FOLDER}/busy"
REPORT: Final = f"{WORK}/.drain-report"

# The API reports a change of readiness at once, so it also signals the end of a drain: the node is ready as long as the
# drain runs, whatever its app says, and not ready from the end of the drain on.
_READY = """\
#!/bin/sh
# ready MODE: whether this node is ready. MODE "start": as the hook says; "keep": the hook may fail once in a row.
mode=$1
hook=$SLIPWAY_HOOK_READY
[ ! -e /work/.drained ] || exit 1
[ ! -d /work/.draining ] || exit 0
[ -n "$hook" ] || exit 0
if "$hook"; then
    rm -f /work/.refused
    exit 0
fi
[ "$mode" = keep ] && [ ! -e /work/.refused ] || exit 1
: > /work/.refused
"""

_DRAIN = """\
#!/bin/sh
# drain SECONDS: starts the drain of this node, once, and returns. When the drain is over, its report is in
# /work/.drain-report: the outcome, the hundredths of a second that it took, and the last line that the hook wrote.
seconds=$1
hook=$SLIPWAY_HOOK_DRAIN
mkdir /work/.draining 2>/dev/null || exit 0

now() {
    read -r up rest < /proc/uptime
    echo "${up%.*}${up#*.}"
}

drain() {
    began=$(now)
    end=$((began + seconds * 100))
    outcome=drained
    : > /work/.draining/answer
    while [ -n "$hook" ]; do
        left=$(((end - $(now)) / 100))
        [ "$left" -ge 1 ] || left=1
        if SLIPWAY_DRAIN_SECONDS=$left timeout $((left + 3)) "$hook" > /work/.draining/answer; then
            break
        fi
        # A hook that failed early is run again, as long as there is time.
        if [ $(($(now) + 100)) -ge "$end" ]; then
            outcome=deadline
            break
        fi
        sleep 1
    done
    {
        echo "$outcome $(($(now) - began))"
        tail -n 1 /work/.draining/answer
    } > /work/.draining/report
    mv /work/.draining/report /work/.drain-report
    : > /work/.drained
}

drain < /dev/null > /dev/null 2>&1 &
"""

# Exit code 0: busy, 1: idle, 3: the role has no hook.
_BUSY = """\
#!/bin/sh
[ -n "$SLIPWAY_HOOK_BUSY" ] || exit 3
exec "$SLIPWAY_HOOK_BUSY"
"""

SCRIPTS: Final = {"ready": _READY, "drain": _DRAIN, "busy": _BUSY}
