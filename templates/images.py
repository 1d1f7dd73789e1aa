"""What the container images of apps are called."""

from templates.schema import App, Runtime


def image_of(app: App, runtime: Runtime) -> str:
    """`slipway-<app>:<version>`, with the runtime's name behind the app's where it has several; no registry.

    It is for runtimes whose `image` the catalogue leaves open.
    """
    name = app.name if len(app.runtimes) == 1 else f"{app.name}-{runtime.name}"
    # A version may have a +, which a tag may not.
    return f"slipway-{name}:{app.version.replace('+', '-')}"
