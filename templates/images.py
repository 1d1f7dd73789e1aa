"""The names of the container images of apps."""

from templates.schema import App, Runtime


def image_of(app: App, runtime: Runtime) -> str:
    """The image of a runtime whose `image` is "": `slipway-<app>:<version>`, without a registry.

    For an app with several runtimes the name of the runtime follows the name of the app.
    """
    name = app.name if len(app.runtimes) == 1 else f"{app.name}-{runtime.name}"
    # A version can contain a +, a tag cannot.
    return f"slipway-{name}:{app.version.replace('+', '-')}"
