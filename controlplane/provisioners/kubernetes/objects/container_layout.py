"""How a node looks from inside its pod: its folders, and the scripts of ours that run there.

A role's hooks are known to them by SLIPWAY_HOOK_READY, _DRAIN and _BUSY; "" for one that it does not have.
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

# Readiness is how a pod tells us anything at once, so the end of a drain is told by it: true as long as the drain
# runs, whatever the app says, and false from its end on.
_READY = """\
#!/bin/sh
# ready MODE: whether this node is ready. MODE "start": says what the hook says; "keep": forgives one refusal.
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
# drain SECONDS: starts the drain of this node, once, and returns. Its report lies in /work/.drain-report when
# it is over: how it ended, the hundredths of a second that it took, and the last line that the hook wrote.
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
        # One that failed early is run again, as long as there is time.
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

# No answer is another answer than idle, which is 1.
_BUSY = """\
#!/bin/sh
[ -n "$SLIPWAY_HOOK_BUSY" ] || exit 3
exec "$SLIPWAY_HOOK_BUSY"
"""

SCRIPTS: Final = {"ready": _READY, "drain": _DRAIN, "busy": _BUSY}
