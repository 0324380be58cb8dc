"""The words of the page's frame, of Create and of Queue."""

from __future__ import annotations

from typing import Any

PRODUCT = "PuLID"
SCREENS = {
    "create": "Create",
    "people": "People",
    "gallery": "Gallery",
    "grid": "Grid",
    "queue": "Queue",
    "models": "Models",
}
ON_BAR = ("create", "people", "gallery", "queue")
"""The screens that a phone's bar has; the others are behind MORE."""
MORE = "More"
SKIP = "Skip to the content"
CONSENT = "Make pictures only of people who agree to it."

PROMPT = "Prompt"
PROMPT_START = "portrait, color, cinematic"
PROMPT_HINT = "What the picture shows"
EXAMPLES = "Ideas"
GENERATE = "Generate"
CANCEL = "Cancel"
CANCEL_ASK = "Cancel what is being made?"

# People
PEOPLE_TITLE = "Who is in it"
ADD_PERSON = "Add a person"
REMOVE_PERSON = "Remove"
PERSON = "Person {number}"
WHO = "Who"
FROM_PHOTO = "From a photo"
PHOTO = "Photo of one person"
ANOTHER_PHOTO = "Another photo"
WEIGHT = "Likeness (weight)"
WEIGHT_INFO = "1 is usual; 0 leaves the person out"
WHEN = "When, and name"
START_STEP = "From step"
START_INFO = "Photographic 4, stylised 0 to 1"
END_STEP = "Until step"
END_INFO = "Empty: to the end"
NAME = "Name"
KEEP = "Keep this person"
NO_FACE = (
    "No face was found. It helps if the face is larger, well lit, and looks at the camera. "
    "Choose another photo."
)
FACES_UNKNOWN = "Faces are looked for when the picture is made; the largest is taken."
FACE = "Face {number} of {count}"
WHICH_FACE = "Whose face?"
ONE_FACE = "This face is used"
FACE_WORDS = {"largest": "largest", "left": "left", "right": "right", "center": "in the middle"}
KEPT_AS = "Kept as {name}."
EXAMPLE_PERSON = "{name} (drawn example)"
PHOTO_GONE = "A photo was not kept: choose the person or the photo again."
EARLIER_PERSON = "The person of an earlier picture."
PHOTO_NEEDED = "Give a photo first."
NAME_NEEDED = "Type a name first."

# Places of people
PLACES_TITLE = "Where they are"
PLACES_INFO = "Without a place, a person's face may appear anywhere in the picture."
PLACES_OF_PEOPLE: list[tuple[str, Any]] = [
    ("anywhere", None),
    ("left half", [0, 0, 0.5, 1]),
    ("right half", [0.5, 0, 0.5, 1]),
    ("left third", [0, 0, 0.333, 1]),
    ("middle third", [0.333, 0, 0.334, 1]),
    ("right third", [0.667, 0, 0.333, 1]),
    ("whole picture", [0, 0, 1, 1]),
]
STAGE: dict[str, Any] = {
    "help": "Arrows move, Shift and arrows resize, Delete removes the place",
    "where": "place",
    "own": "own place",
    "painted": "The place is painted.",
    "nobody": "Nobody is in the picture yet.",
    "overlap": "Overlaps another place: there, both faces are mixed.",
    "sides": ["Left", "Top", "Width", "Height"],
}
BRUSH = "Paint a place instead of a box"
BRUSH_WHO = "Whose place"
BRUSH_CANVAS = "White: the place"
BRUSH_USE = "Use what is painted"
BRUSH_CLEAR = "Use boxes again"
BRUSH_FILE = "Or a mask file (white: the place)"
PAINTED = "{name}'s place is painted."
BRUSH_NOBODY = "Choose a person above first."
NOT_PAINTED = "Nothing is painted yet."
BOX_AGAIN = "{name} has a box again, or none."

# The picture
SHAPE = "Shape"
SHAPES = {"square": "Square", "portrait": "Portrait", "landscape": "Landscape", "own": "Own size"}
WIDTH = "Width"
HEIGHT = "Height"
STEPS = "Steps"
GUIDANCE = "Guidance"
SEED = "Seed"
SEED_INFO = "-1: another one each time"
DICE = "Random"
LAST_SEED = "Keep the last"
COUNT = "Pictures"
MODEL = "Model"
MORE_TITLE = "More settings"
NEGATIVE = "Negative prompt"
NEGATIVE_HINT = "bad quality, worst quality, text, signature, watermark, extra limbs"
TRUE_CFG = "True CFG"
TRUE_CFG_INFO = "Above 1: twice the time; then set guidance to 1"
CFG_START = "True CFG from step"
SAMPLER = "Sampler"
SCHEDULER = "Scheduler"
ETA = "Eta"
CLIP_SKIP = "CLIP skip"
CACHE = "Step cache"
CACHE_INFO = "Faster, but changes the picture"
CACHE_OPTION = "Settings of the cache"
PREVIEW = "Preview"
PREVIEWS = {"proj": "quick", "tae": "tiny decoder", "vae": "full decoder", "none": "none"}
UPSCALE = "Enlarge afterwards (times)"
UPSCALE_INFO = "Needs an upscaling model"
SLG = "Skip-layer guidance"
SLG_START = "from (part of the steps)"
SLG_END = "until"
ID_MODE = "Identity mode"
ID_MODE_INFO = "fidelity for likeness, style for prompts of a style"
OWN_ID_MODE = "the model's own"
ID_ZEROS = "Zero tokens"
ID_ZEROS_INFO = "More make the identity weaker; empty: the mode's"
TITLE = "Title of the job"
LORAS = "LoRAs"
LORA = "LoRA {number}"
LORA_WEIGHT = "Weight"
NO_LORA = "none"
HIRES_TITLE = "Second, larger pass"
HIRES = "Make it in two passes"
HIRES_UPSCALER = "Enlarged by"
HIRES_SCALE = "Times"
HIRES_STEPS = "Steps (0: as many)"
HIRES_STRENGTH = "How much is made anew"
START_TITLE = "Start from a picture"
START_IMAGE = "Paint what may change"
START_INFO_TEXT = "Without painting, all of it may change."
START_MASK = "Or a mask file (white: may change)"
STRENGTH = "How much changes"
REFS_TITLE = "Pictures to follow"
REFS = "Reference pictures (Kontext models)"
CONTROL = "Edges or depth to follow (Canny and Depth models)"
CANNY = "Find the edges in it"

# The picture that is made
NOTHING_YET = "Your picture appears here."
EMPTY_HINT = "Choose a person, say what to show, and press Generate."
STAGES = {
    "": "Starting",
    "load": "Loading the model",
    "hash": "Checking files",
    "extract": "Reading the face",
    "fold": "Preparing the person",
    "encode": "Reading the prompt",
    "denoise": "Making the picture",
    "hires": "Making it larger",
    "decode": "Finishing",
    "upscale": "Enlarging",
}
STEP_OF = "step {step} of {steps}"
PICTURE_OF = "picture {number} of {count}"
TIME_LEFT = "about {time} left"
WAITING = "Waiting: place {place}"
PAUSED = "The queue is paused."
CANCELLING = "Stopping"
FAILED = "That did not work: {message}"
CANCELLED = "Cancelled."
DONE = "Done."
SEED_OF = "Seed {seed}"
MORE_LIKE = "Make another"
AS_START = "Use as start"
SETTINGS = "Use these settings"
PNG = "PNG"
JPEG = "JPEG"
LATEST = "Latest"
WITH = "with {names}"
PICTURE = "Picture"
BACK_TO_NOW = "Show what is being made"
FULL = "The queue is full. Try again in about {time}."

# Queue
QUEUE_NOW = "Now"
QUEUE_WAITING = "Waiting"
QUEUE_ENDED = "Ended"
QUEUE_EMPTY = "Nothing waits."
UP = "Earlier"
DOWN = "Later"
EDIT = "Edit"
EDIT_STAYS = "The job stays in the queue, as its photo cannot be put into the form again."
STATUSES = {
    "queued": "waiting",
    "generating": "running",
    "completed": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}
KINDS = {
    "img_gen": "Picture",
    "extract": "Face",
    "grid": "Grid",
    "score": "Measurement",
    "download": "Download",
}
PICTURES = {1: "1 picture", 2: "{count} pictures"}

EXAMPLE_LIST: list[dict[str, Any]] = [
    {
        "name": "By the window",
        "prompt": "portrait by a window, soft morning light, wool sweater, 50mm photograph",
        "start_step": 4,
    },
    {
        "name": "Night market",
        "prompt": "laughing at a night market, neon lights, rain on the street, film photograph",
        "start_step": 4,
    },
    {
        "name": "Oil painting",
        "prompt": "oil painting in the style of the old masters, dark background, lace collar",
        "start_step": 1,
    },
    {
        "name": "Astronaut",
        "prompt": "astronaut in a white suit, the earth behind, cinematic light",
        "start_step": 2,
    },
    {
        "name": "Comic",
        "prompt": "comic book hero on a roof, bold ink lines, flat colors, city at dusk",
        "start_step": 0,
    },
    {
        "name": "1920s, true CFG",
        "prompt": "photograph of the 1920s, art deco ballroom, pearls, sepia",
        "negative_prompt": "bad quality, worst quality, text, signature, watermark, extra limbs",
        "start_step": 1,
        "guidance": 1.0,
        "cfg_scale": 5.0,
    },
]
"""Prompts with their settings; those of a person are the first card's."""

FIELD_NAMES = {
    "prompt": PROMPT,
    "width": WIDTH,
    "height": HEIGHT,
    "steps": STEPS,
    "guidance": GUIDANCE,
    "seed": SEED,
    "batch_count": COUNT,
    "model": MODEL,
}
"""Fields as errors name them, and as the page does."""

# Logging in
LOG_IN_TITLE = "PuLID: log in"
KEY = "Key"
LOG_IN = "Log in"
LOG_OUT = "Log out"
KEY_HINT = "Whoever runs this server has the key."
NO_ANSWER = "The server does not answer. Try again."
NO_SCRIPTS = "This page needs scripts. Please switch them on in your browser."

__all__ = sorted(name for name in vars() if name.isupper())
