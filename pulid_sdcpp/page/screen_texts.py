"""What the screens People, Gallery, Grid and Models say."""

from __future__ import annotations

__all__ = [
    "ACCEPT",
    "ADD_PERSON",
    "ADMIN_ONLY",
    "AGREEMENT",
    "ASK_PERSON",
    "BY_PERSON",
    "CANCEL",
    "CHOOSE_FACE",
    "CLOSE",
    "CONSENT",
    "CSV",
    "DEFAULT",
    "DELETE",
    "DELETE_ASK",
    "DELETE_ONE_ASK",
    "DELETE_WHAT",
    "DIFFERENCES",
    "DOWNLOAD",
    "DOWNLOADING",
    "DOWNLOADS_OFF",
    "DROP_HELP",
    "DROP_PNG",
    "EVERYBODY",
    "EXACTLY_AGAIN",
    "EXTRACTING",
    "FACE_OF",
    "FAILED",
    "FAVOURITE",
    "FILES_MISSING",
    "FILE_OF",
    "FIRST_VISIT",
    "FITS",
    "FORGET",
    "FORGET_ASK",
    "FORGET_WHAT",
    "FOR_MODEL",
    "FOR_MODEL_HELP",
    "FOR_PHOTOS_ONLY",
    "FUSION",
    "FUSION_AUTO",
    "FUSION_MEAN",
    "GALLERY",
    "GRID",
    "GRID_CANCELLED",
    "GRID_COUNT",
    "GRID_FAILED",
    "GRID_HEIGHT",
    "GRID_LEFT",
    "GRID_NONE",
    "GRID_PEOPLE",
    "GRID_PICTURE",
    "GRID_PROGRESS",
    "GRID_PROMPTS",
    "GRID_SEEDS",
    "GRID_START",
    "GRID_STEPS",
    "GRID_TIME",
    "GRID_TOO_MANY",
    "GRID_WEIGHTS",
    "GRID_WHAT",
    "GRID_WIDTH",
    "JPEG",
    "JUDGE",
    "KEEP",
    "KEPT",
    "KEPT_FOR",
    "LIKENESS",
    "LIKENESS_HELP",
    "LOADED",
    "LOWEST",
    "MADE",
    "MADE_AGAIN",
    "MEAN_OF_ALL",
    "MEAN_OF_PROMPT",
    "MEAN_OF_WEIGHT",
    "MEASURE",
    "MEASURE_AGAIN",
    "MISSING",
    "MODEL",
    "MODELS",
    "MODELS_WHAT",
    "MORE",
    "NAME",
    "NAME_HELP",
    "NEXT",
    "NEXT_BEST",
    "NON_COMMERCIAL",
    "NOTHING_FOUND",
    "NOT_AGAIN",
    "NO_FACE",
    "NO_FACE_IN_PICTURE",
    "NO_PEOPLE",
    "NO_PICTURES",
    "N_PHOTOS",
    "ONE_PHOTO",
    "ONLY_FAVOURITES",
    "OPEN_PICTURE",
    "OTHER_PEOPLE",
    "OTHER_PEOPLE_HELP",
    "OTHER_SEED",
    "OWN_LIKENESS",
    "PACKAGED",
    "PAUSE",
    "PAUSED",
    "PEOPLE",
    "PEOPLE_WHAT",
    "PHOTOS",
    "PHOTO_GONE",
    "PICKED",
    "PICK_ALL",
    "PICK_NONE",
    "PICK_PICTURE",
    "PICTURE",
    "PNG",
    "PREVIOUS",
    "PROMPT",
    "PULL",
    "PULL_ON",
    "READING",
    "READY",
    "READ_TERMS",
    "RECIPE",
    "RECOMMENDED",
    "REMOVE",
    "REMOVED",
    "REMOVE_ASK",
    "REMOVE_WHAT",
    "RENAME",
    "SEARCH",
    "SEARCH_HELP",
    "SEED",
    "SHEET",
    "SIZE",
    "SIZE_ALL",
    "START_FROM_IT",
    "TERMS",
    "TO_DOWNLOAD",
    "TRY_IN_GRID",
    "TRY_POCKET",
    "UNKNOWN_PERSON",
    "UNLOAD",
    "UNNAMED",
    "USE_MODEL",
    "USE_PERSON",
    "USE_SETTINGS",
    "USE_WEIGHT",
    "VERIFIED",
    "VERIFY",
    "VERIFYING",
    "WAITS",
    "WEIGHT",
    "WEIGHT_SEED",
    "WITH",
    "ZIP",
    "ZIP_FAILED",
]

CONSENT = "Only add people who agree to it."
FAILED = "That did not work: {reason}"
CANCEL = "Cancel"
CLOSE = "Close"
DELETE = "Delete"

PEOPLE = "People"
PEOPLE_WHAT = "Photos become a small identity file, and are not kept."
ADD_PERSON = "Add a person"
PHOTOS = "Photos of one person (1 to {most})"
NAME = "Name"
NAME_HELP = "Empty: no name, found by its number."
FOR_MODEL = "For the model"
FOR_MODEL_HELP = (
    "Each kind of model needs its own: give the same photos and name once more for another."
)
FUSION = "Several photos become one identity by"
FUSION_AUTO = "the network (best)"
FUSION_MEAN = "the mean"
CHOOSE_FACE = "Whose face? Photo {number}"
FACE_OF = "Face {number} of {of}"
NO_FACE = (
    "No face was found in photo {number}. A larger, well lit face that looks at the camera helps."
)
PHOTO_GONE = "the photo is not here any more; give it again"
KEEP = "Keep this person"
READING = "Looking for faces"
EXTRACTING = "Making the identity"
NO_PEOPLE = "Nobody is kept yet."
ONE_PHOTO = "1 photo"
N_PHOTOS = "{count} photos"
AGREEMENT = "agreement {value}"
KEPT_FOR = "for {models}"
USE_PERSON = "Use"
TRY_IN_GRID = "Try in the grid"
RENAME = "Rename"
DOWNLOAD = "Download"
FORGET = "Forget"
FORGET_ASK = "Forget {name}?"
FORGET_WHAT = (
    "The identity, the thumbnail and all numbers made from the photos are removed. "
    "Pictures that were made with it stay."
)
KEPT = "{name} is kept."
UNNAMED = "Without a name ({id})"

GALLERY = "Gallery"
SEARCH = "Search"
SEARCH_HELP = "Words of the prompt, a name, a preset or a seed. Press / to come here."
BY_PERSON = "Person"
EVERYBODY = "Everybody"
ONLY_FAVOURITES = "Only favourites"
NO_PICTURES = "No pictures yet. They appear here as soon as they are made."
NOTHING_FOUND = "No picture fits this search."
MORE = "Show more"
PICTURE = "Picture"
OPEN_PICTURE = "Open: {alt}"
PICK_PICTURE = "Pick: {alt}"
PICKED = "picked"
PICK_ALL = "Pick all shown"
PICK_NONE = "Pick none"
ZIP = "Download as ZIP"
ZIP_FAILED = "A picture could not be fetched"
DELETE_ASK = "Delete {count} pictures?"
DELETE_ONE_ASK = "Delete this picture?"
DELETE_WHAT = "This cannot be undone."
FAVOURITE = "Favourite"
USE_SETTINGS = "Use these settings"
OTHER_SEED = "With another seed"
EXACTLY_AGAIN = "Make exactly again"
START_FROM_IT = "Use as start"
MADE_AGAIN = "It is made again; the queue shows how far it is."
NOT_AGAIN = "a file that the picture was made with is not there any more"
PNG = "PNG"
JPEG = "JPEG"
PREVIOUS = "Newer picture"
NEXT = "Older picture"
PROMPT = "Prompt"
SEED = "Seed"
SIZE = "Size"
MODEL = "Model"
MADE = "Made"
WITH = "People"
UNKNOWN_PERSON = "unknown person {id}"
ASK_PERSON = "Add this person to make the picture again."
RECIPE = "Recipe"
DROP_PNG = "Read the recipe of a PNG"
DROP_HELP = "A picture made here, or by A1111, Forge or stable-diffusion.cpp."
DIFFERENCES = "What would be different here"
FILES_MISSING = "Files that are missing"
MEASURE = "Measure the likeness"
MEASURE_AGAIN = "Measure again"
LIKENESS = "Likeness"
LIKENESS_HELP = (
    "Cosine similarity between the face in the picture and the person's photos, -1 to 1. "
    "It is measured by the recogniser that the identity itself was made with, so it is biased "
    "towards a high value: compare settings with it, not people. A judge, a second recogniser "
    "named with --judge, is not. The next best person shows what no likeness looks like."
)
OWN_LIKENESS = "this person"
NEXT_BEST = "next best: {name}"
JUDGE = "judge"
NO_FACE_IN_PICTURE = "No face was found in the picture."

GRID = "Grid"
GRID_WHAT = (
    "One identity in many prompts: does the face stay the same while pose, clothes and place "
    "change?"
)
GRID_PEOPLE = "People"
GRID_PROMPTS = "Prompts, one a line (1 to {most})"
GRID_SEEDS = "Seeds (1 to {most})"
GRID_WEIGHTS = "Weights (1 to {most}, 0 to 5)"
GRID_PICTURE = "Picture"
GRID_WIDTH = "Width (empty: of the preset)"
GRID_HEIGHT = "Height (empty: of the preset)"
GRID_STEPS = "Steps (empty: of the preset)"
GRID_COUNT = "{pictures} pictures"
GRID_TIME = "about {time}"
GRID_TOO_MANY = "{pictures} pictures, but {most} is the most: take fewer prompts, seeds or weights."
GRID_START = "Make the grid"
GRID_NONE = "No grid yet."
GRID_PROGRESS = "{done} of {pictures} pictures"
GRID_LEFT = "about {time} left"
GRID_CANCELLED = "Cancelled: {done} of {pictures} pictures"
GRID_FAILED = "The grid ended early: {reason}"
LOWEST = "lowest"
MEAN_OF_PROMPT = "Mean of the prompt"
MEAN_OF_WEIGHT = "Mean of the weight"
MEAN_OF_ALL = "Mean likeness"
WEIGHT = "Weight {weight}"
WEIGHT_SEED = "Weight {weight}, seed {seed}"
OTHER_PEOPLE = "Other people"
OTHER_PEOPLE_HELP = (
    "Mean similarity to the most similar other person who is kept: what no likeness looks like. "
    "There is no fixed threshold."
)
SHEET = "Contact sheet"
CSV = "Table (CSV)"
USE_WEIGHT = "Use weight {weight} from now on"
WAITS = "waits"

MODELS = "Models"
MODELS_WHAT = "A preset is a model with settings that suit it."
FIRST_VISIT = (
    "No model is downloaded yet. The pocket model works now, without a download: it draws small "
    "pictures of drawn people, to try everything out. For real pictures, download a preset below."
)
TRY_POCKET = "Try the pocket model"
RECOMMENDED = "recommended here"
READY = "ready"
LOADED = "loaded"
DEFAULT = "in use"
PACKAGED = "comes with the program"
SIZE_ALL = "{size} in all"
TO_DOWNLOAD = "{size} to download"
FITS = {
    "fits": "fits this computer",
    "offloaded": "fits: weights wait in RAM and are moved to the card for each picture",
    "in segments": "fits slowly: weights are moved to the card in each step",
    "unknown": "cannot be planned before it is here",
    "does not fit": "does not fit this computer",
}
ACCEPT = "I accept these terms: {name}"
NON_COMMERCIAL = "no commercial use"
READ_TERMS = "read {name}"
TERMS = "Terms of the files: {count}"
PULL = "Download"
PULL_ON = "Go on downloading"
PAUSE = "Pause"
VERIFY = "Check the files"
REMOVE = "Remove from disk"
REMOVE_ASK = "Remove the files of {name}?"
REMOVE_WHAT = (
    "{size} are freed, as far as no other preset needs the files. They can be downloaded again."
)
USE_MODEL = "Use"
UNLOAD = "Free the memory"
MISSING = "Missing files"
FOR_PHOTOS_ONLY = "Only needed to add people from photos"
FILE_OF = "File {number} of {of}"
DOWNLOADING = "{file}: {done} of {size}"
PAUSED = "Paused. What has arrived is kept."
VERIFYING = "Checking the files; this reads all of them"
REMOVED = "{size} are freed."
VERIFIED = "{name}: all files are as published."
DOWNLOADS_OFF = "This server does not download: it was started with --no-allow-downloads."
ADMIN_ONLY = "Only an administrator of this server may change models."
