"""The sentences that the console's Python code shows to people, in one place. The others are in the HTML templates."""

from typing import Final

from controlplane.clusters.phases import Verb
from controlplane.console.formats import plain
from tenants.amounts import quantity
from tenants.quota import Level

ERROR_TITLES: Final = {
    400: "This request cannot be read",
    403: "You need another role for this",
    404: "There is nothing here",
    405: "This page cannot be used that way",
    500: "Something went wrong on our side",
    503: "Slipway is too busy at the moment",
}
ERROR_TITLE: Final = "This did not work"
FORBIDDEN_TITLE: Final = "This was refused"
STALE_FORM_TITLE: Final = "This form is no longer valid"
ERROR_DETAILS: Final = {
    400: "The request was malformed, or the form too large. Go back and try again.",
    403: "The form was too old, or was not sent from this page. Go back, reload the page and try again.",
    404: "The page does not exist, or you may not see it.",
    405: "Go back and use the buttons of the page.",
    500: "What was answered before is stored. Try again. If it fails again, give the request id below to the people "
    "who run this Slipway.",
}

PASSWORD_CHANGED: Final = "Your password was changed. Your other sessions and all your API tokens have ended."  # noqa: S105 - a message
PASSWORDS_DIFFER: Final = "The two new passwords differ. Enter the same password twice."
SESSIONS_ENDED: Final = (
    "All your other sessions have ended. Your API tokens still work; revoke those that you do not know."
)
TOKEN_REVOKED: Final = "The token was revoked."  # noqa: S105 - a message

USER_CHANGED: Final = {
    "promote": "{} is a site admin now.",
    "demote": "{} is not a site admin any more.",
    "disable": "{} is disabled. All sessions and tokens of this user have ended.",
    "enable": "{} can sign in again.",
}
USER_DELETED: Final = "{} was deleted."
WRONG_USER_NAME: Final = "This is not the name. To delete the user, type {}"
NO_BUTTON: Final = "Press one of the buttons of the page."

CLUSTER_VERB_DONE: Final = {
    "start": "{} is starting.",
    "stop": "{} is stopping.",
    "restart": "{} is restarting.",
    "cancel": "The operation was cancelled. {} keeps what it has now.",
}
NOTHING_TO_CANCEL: Final = "No operation is in progress any more."
CLUSTER_RESIZING: Final = "{} is being resized."
CLUSTER_DELETING: Final = "{} is being deleted."
CLUSTER_DELETED_ALREADY: Final = "The cluster is deleted already."
WRONG_CLUSTER_NAME: Final = "This is not the name. To delete the cluster, type {}"
NOT_A_WHOLE_NUMBER: Final = "Must be a whole number."
NO_NEW_COUNT: Final = "The cluster has these numbers of nodes now. Change at least one."

# What a button of a cluster does, and why it cannot be used in the phase of the cluster.
BUTTON_NOTES: Final = {
    "start": "Starts all nodes again, with the data that was kept.",
    "stop": "Ends all nodes. Notebooks, data and the name are kept.",
    "restart": "Replaces every node with a new one.",
    "resize": "Adds nodes, or drains and removes some.",
    "delete": "Ends all nodes and deletes the data, for good.",
    "cancel": "Ends the operation in progress.",
}
STOP_NOW_NOTE: Final = "Ends the nodes at once, without waiting for their work."
WRONG_PHASE: Final = {
    Verb.START: "Possible when the cluster is stopped or failed.",
    Verb.STOP: "The cluster is not running.",
    Verb.RESTART: "Possible when the cluster is ready.",
    Verb.RESIZE: "Possible when the cluster is ready or stopped.",
    Verb.DELETE: "The cluster is deleted already.",
}
ALREADY_IN_PROGRESS: Final = "This is in progress already."
AFTER_OPERATION: Final = "Possible after the {} that is in progress."
NO_OPERATION: Final = "No operation is in progress."
NOT_CANCELLABLE: Final = "A {} cannot be cancelled. It continues until it is done."
NEEDS_ROLE: Final = "Needs the role {}."
NOT_YOURS: Final = "This is not your cluster; needs the role {}."


def does_not_fit(level: Level) -> str:
    """Why a launch does not fit, for a level with a shortfall."""
    resource = level.resource
    held, limit, wanted = (
        plain(resource, quantity(resource, value)) for value in (level.held, level.ceiling, level.change)
    )
    who = "The tenant holds" if level.scope == "tenant" else "You hold"
    noun = "CPU" if resource == "cpu" else resource
    return f"{who} {held} of {limit} {noun}; this needs {wanted} more."
