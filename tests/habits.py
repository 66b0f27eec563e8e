"""The table of `catalogue`: what students do around right answers."""

from catalogue import Habit

_LOSS = "return nn.functional.mse_loss(prediction.view_as(naction), naction)"
_MEAN = "return ((prediction - naction) ** 2).mean()"
_VIEWED = "prediction = prediction.view_as(naction)\n    "
_FLAT = "nobs.flatten(start_dim=1)"
_DEF = "def bc_loss("
_MARK = "# [part1/bc_loss] answer Q1.2\n"


def _loss(new: str) -> dict[str, tuple[str, str]]:
    return {"bc_loss": (_LOSS, _VIEWED + new)}


def _first(lines: str) -> dict[str, tuple[str, str]]:
    """Lines at the beginning of the loss's cell."""
    return {"bc_loss": (_MARK, f"{_MARK}{lines}\n")}


def _before_loss(code: str) -> dict[str, tuple[str, str]]:
    """Lines above the function, below the marker."""
    return {"bc_loss": (_DEF, f"{code}\n\n\n{_DEF}")}


def _net(layers: str) -> str:
    return f"""class MSEPolicy(BasePolicy):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256, 256, 256)):
        super().__init__(state_dim, action_dim, chunk_size)
        width, out = hidden_dims[-1], chunk_size * action_dim
{layers}

    def compute_loss(self, state, action_chunk):
        return nn.functional.mse_loss(self.sample_actions(state), action_chunk)

    def sample_actions(self, state, *, num_steps=10):
        return self.net(state).view(len(state), self.chunk_size, self.action_dim)
"""


def _policy(name: str, layers: str, **more: object) -> Habit:
    """Another right MSE policy for Part IV."""
    source = _net(layers)
    return Habit(name, whole={"mse_policy": source}, part="part4_flow", network=source, **more)


_SEQUENTIAL = "        self.net = nn.Sequential({})"
_TIED = """        shared = nn.Linear(width, width)
        self.net = nn.Sequential(
            nn.Linear(state_dim, width), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(),
            nn.Linear(width, out))"""

# What graded functions take from cells that are not run as a whole.
NAMES = [
    Habit(
        "criterion of the training cell",
        own={"bc_loss": "criterion = nn.MSELoss()"},
        changed=_loss("return criterion(prediction, naction)"),
    ),
    Habit(
        "criterion made in the course's practice cell",
        changed={
            **_loss("return criterion(prediction, naction)"),
            "dataset": ("stats = dataset.stats", "stats = dataset.stats\ncriterion = nn.MSELoss()"),
        },
    ),
    Habit("sizes of the data set", changed=_loss("assert dataset.stats is stats\n    " + _LOSS)),
    Habit(
        "batch of a practice cell as an example",
        changed=_loss("assert batch['obs'].shape[1:] == nobs.shape[1:] or True\n    " + _LOSS),
    ),
    Habit(
        "helper function",
        own={"bc_loss": "def mse(a, b):\n    return ((a - b) ** 2).mean()"},
        changed=_loss("return mse(prediction, naction)"),
    ),
    Habit(
        "helper that uses a helper",
        own={
            "mlp_dims": "def square(x):\n    return x * x",
            "bc_loss": "def mse(a, b):\n    return square(a - b).mean()",
        },
        changed=_loss("return mse(prediction, naction)"),
    ),
    Habit(
        "helper written below the answer",
        own={"q1_2": "def mse(a, b):\n    return ((a - b) ** 2).mean()"},
        changed=_loss("return mse(prediction, naction)"),
    ),
    Habit(
        "helper class",
        own={
            "bc_loss": "class Loss:\n    def __call__(self, a, b):\n        return ((a - b) ** 2).mean()\nloss_of = Loss()"
        },
        changed=_loss("return loss_of(prediction, naction)"),
    ),
    Habit(
        "helper in a cell with %%time",
        own={"bc_loss": "%%time\nmse = nn.MSELoss()\nprint(mse)"},
        changed=_loss("return mse(prediction, naction)"),
    ),
    Habit(
        "helper in a cell with a shell command",
        own={"bc_loss": "!ls\nmse = nn.MSELoss()\n%matplotlib inline"},
        changed=_loss("return mse(prediction, naction)"),
    ),
    Habit(
        "lambda",
        own={"bc_loss": "mse = lambda a, b: (a - b).pow(2).mean()"},
        changed=_loss("return mse(prediction, naction)"),
    ),
    Habit(
        "import in a cell of one's own",
        own={"bc_loss": "import torch.nn.functional as F"},
        changed=_loss("return F.mse_loss(prediction, naction)"),
    ),
    Habit(
        "import in a practice cell",
        changed={
            **_loss("return F.mse_loss(prediction, naction)"),
            "dataset": (
                "stats = dataset.stats",
                "stats = dataset.stats\nimport torch.nn.functional as F",
            ),
        },
    ),
    Habit(
        "star import",
        own={"bc_loss": "from torch.nn.functional import *"},
        changed=_loss("return mse_loss(prediction, naction)"),
    ),
    Habit(
        "constant",
        own={"bc_loss": "SCALE = 1.0"},
        changed=_loss("return SCALE * nn.functional.mse_loss(prediction, naction)"),
    ),
    Habit(
        "constants by unpacking",
        own={"bc_loss": "ONE, TWO = 1.0, 2"},
        changed=_loss("return ONE * ((prediction - naction) ** TWO).mean()"),
    ),
    Habit(
        "settings in a dict that is filled",
        own={"bc_loss": "config = {}\nconfig['power'] = 2\nconfig.update(scale=1.0)"},
        changed=_loss(
            "return config['scale'] * ((prediction - naction) ** config['power']).mean()"
        ),
    ),
    Habit(
        "list that a loop fills",
        own={"bc_loss": "powers = []\nfor i in range(3):\n    powers.append(i)"},
        changed=_loss("return ((prediction - naction) ** powers[2]).mean()"),
    ),
    Habit(
        "dataclass of settings",
        own={
            "bc_loss": "from dataclasses import dataclass\n@dataclass\nclass Settings:\n    power: int = 2\nsettings = Settings()\nsettings.power = 2"
        },
        changed=_loss("return ((prediction - naction) ** settings.power).mean()"),
    ),
    Habit(
        "choice by if",
        own={
            "bc_loss": "if torch.cuda.is_available():\n    mse = nn.MSELoss().cuda()\nelse:\n    mse = nn.MSELoss()"
        },
        changed=_loss("return mse(prediction, naction)"),
    ),
    Habit(
        "import with a way out",
        own={
            "bc_loss": "try:\n    from einops import rearrange\nexcept ImportError:\n    rearrange = lambda x, _: x.flatten(1)"
        },
        changed={"bc_loss": (_FLAT, "rearrange(nobs, 'b t d -> b (t d)')")},
    ),
    Habit(
        "type name in the signature",
        own={"bc_loss": "Batch = torch.Tensor"},
        changed={"bc_loss": ("nobs: torch.Tensor", "nobs: Batch")},
    ),
    Habit(
        "decorator",
        own={
            "bc_loss": "import functools\ndef named(f):\n    @functools.wraps(f)\n    def g(*a, **k):\n        return f(*a, **k)\n    return g"
        },
        changed={"bc_loss": (_DEF, "@named\n" + _DEF)},
    ),
    Habit(
        "answer that calls another answer",
        changed=_loss("assert len(mlp_dims(2, 5, 16, 2, [8])) == 3\n    " + _MEAN),
    ),
    Habit(
        "global that is counted",
        own={"bc_loss": "calls = 0"},
        changed=_loss("global calls\n    calls += 1\n    " + _LOSS),
    ),
    Habit(
        "method replaced afterwards",
        own={"q1_2": "Loss.__call__ = lambda self, a, b: ((a - b) ** 2).mean()"},
        changed={
            **_loss("class_of = Loss\n    return class_of()(prediction, naction)"),
            "mlp_dims": ("def mlp_dims(", "class Loss:\n    pass\n\n\ndef mlp_dims("),
        },
    ),
    Habit(
        "global that a function makes",
        own={"bc_loss": "def setup():\n    global mse\n    mse = nn.MSELoss()\nsetup()"},
        changed=_loss("return mse(prediction, naction)"),
    ),
    Habit(
        "losses in a table that a decorator fills",
        own={
            "bc_loss": "losses = {}\ndef register(name):\n    def keep(f):\n        losses[name] = f\n        return f\n    return keep\n@register('mse')\ndef mse(a, b):\n    return ((a - b) ** 2).mean()"
        },
        changed=_loss("return losses['mse'](prediction, naction)"),
    ),
    Habit(
        "object that a call changes",
        own={"bc_loss": "scale = torch.zeros(())\nnn.init.ones_(scale)"},
        changed=_loss("return scale * ((prediction - naction) ** 2).mean()"),
    ),
    Habit(
        "method added to a class of torch",
        own={"bc_loss": "def flat(x):\n    return x.flatten(1)\ntorch.Tensor.flat = flat"},
        changed={"bc_loss": (_FLAT, "nobs.flat()")},
    ),
    Habit(
        "environment variable that an answer reads",
        own={"bc_loss": "import os\nos.environ['POWER'] = '2'"},
        changed=_loss("return ((prediction - naction) ** int(os.environ['POWER'])).mean()"),
    ),
    Habit(
        "annotations that are not evaluated",
        own={"mlp_dims": "from __future__ import annotations"},
        changed={"bc_loss": ("nobs: torch.Tensor", "nobs: Float[Tensor, 'b t d']")},
    ),
    Habit(
        "name from a cell with exec",
        own={"bc_loss": "exec('mse = nn.MSELoss()')"},
        changed=_loss("return mse(prediction, naction)"),
        told="No cell of the notebook defines `mse`",
    ),
    Habit(
        "module of one's own",
        own={"bc_loss": "from helpers_of_mine import flat"},
        changed={"bc_loss": (_FLAT, "flat(nobs)")},
        told="cell that begins with 'from helpers_of_mine import flat'",
    ),
    Habit(
        "file of one's own",
        own={"bc_loss": "import json\nscale = json.load(open('scale.json')).get('x', 1)"},
        changed=_loss("return scale * nn.functional.mse_loss(prediction, naction)"),
        told="cell that begins with 'import json'",
    ),
]
# What is done to the process, and to names of the course.
SURROUNDINGS = [
    Habit("score = 0.93", own={"rollouts": "score = 0.93"}),
    Habit("score = 0.93 before the last question", own={"q1_3": "score = 0.93"}),
    Habit(
        "torch, np and nn taken afterwards",
        own={"rollouts": "np = 3\nrubric = None\nrollouts = []"},
    ),
    Habit(
        "a loop variable named like the module",
        own={"rollouts": "for score in range(3):\n    pass"},
    ),
    Habit(
        "another folder",
        own={
            "rollouts": "import os\nos.makedirs('figures', exist_ok=True)\nbefore = os.getcwd()\nos.chdir('figures')\nos.chdir(before)"
        },
    ),
    Habit("%cd", own={"setup": "%cd ."}),
    Habit(
        "another folder from the beginning",
        own={"imports": "import os\nos.makedirs('figures', exist_ok=True)\nos.chdir('figures')"},
        trains=True,
    ),
    Habit(
        "another folder in an answer",
        changed=_before_loss(
            "import os\nos.makedirs('figures', exist_ok=True)\nos.chdir('figures')"
        ),
        trains=True,
    ),
    Habit("float64 by default", own={"bc_loss": "torch.set_default_dtype(torch.float64)"}),
    Habit(
        "float64 by default, in an answer",
        changed=_before_loss("torch.set_default_dtype(torch.float64)"),
    ),
    Habit("no gradients from here on", own={"bc_loss": "torch.set_grad_enabled(False)"}),
    Habit(
        "no gradients from here on, in an answer",
        changed=_before_loss("torch.set_grad_enabled(False)"),
    ),
    Habit("threads", own={"bc_loss": "torch.set_num_threads(2)"}),
    Habit("warnings as errors", own={"bc_loss": "import warnings\nwarnings.simplefilter('error')"}),
    Habit("numpy errors raise", own={"bc_loss": "np.seterr(all='raise')"}),
    Habit(
        "style of figures",
        own={
            "bc_loss": "import matplotlib.pyplot as plt\nplt.style.use('ggplot')\nplt.switch_backend('Agg')"
        },
    ),
    Habit(
        "environment variables",
        own={
            "bc_loss": "import os\nos.environ['OMP_NUM_THREADS'] = '2'\nos.environ['CUDA_VISIBLE_DEVICES'] = ''"
        },
    ),
    Habit("own path of modules", own={"bc_loss": "import sys\nsys.path.insert(0, '/nowhere')"}),
    Habit(
        "seeds",
        own={"bc_loss": "import random\nrandom.seed(0)\nnp.random.seed(0)\ntorch.manual_seed(0)"},
    ),
    Habit("print replaced", own={"bc_loss": "import builtins\nprint = lambda *a, **k: None"}),
    Habit("names deleted afterwards", own={"rollouts": "del mlp_agent, bc_loss"}),
    Habit(
        "answer called afterwards under its own name",
        own={"rollouts": "mlp_dims = mlp_dims(2, 5, 16, 2, [8])"},
    ),
]
# What a grader's machine has not, or waits for.
ELSEWHERE = [
    Habit("drive imported in an answer", changed=_first("from google.colab import drive")),
    Habit(
        "drive mounted in an answer",
        changed=_first("from google.colab import drive\ndrive.mount('/content/drive')"),
    ),
    Habit(
        "drive mounted in a cell of one's own",
        own={"setup": "from google.colab import drive\ndrive.mount('/content/drive')"},
    ),
    Habit("einops imported and not used", changed=_first("import einops")),
    Habit(
        "einops imported below the marker and not used",
        changed=_before_loss("from einops import rearrange, reduce"),
    ),
    Habit(
        "einops used in the loss",
        own={"bc_loss": "import einops"},
        changed={"bc_loss": (_FLAT, "einops.rearrange(nobs, 'b t d -> b (t d)')")},
        told="No module named 'einops'",
    ),
    Habit("pip install", own={"imports": "!pip --version\n%pip --version"}),
    Habit(
        "half an hour of training of one's own",
        own={"rollouts": "import time\nfor epoch in range(1800):\n    time.sleep(1)"},
        waits=True,
    ),
    Habit(
        "a loop without end",
        own={
            "bc_loss": "while True:\n    try:\n        x = 1\n    except BaseException:\n        pass"
        },
        waits=True,
    ),
    Habit("exit()", own={"rollouts": "exit()"}, waits=True),
    Habit("sys.exit()", own={"bc_loss": "import sys\nsys.exit()"}, waits=True),
    Habit("os._exit()", own={"bc_loss": "import os\nos._exit(0)"}, waits=True),
    Habit("input()", own={"bc_loss": "answer = input('continue? ')"}, waits=True),
    Habit(
        "sixty large figures",
        own={
            "rollouts": "import matplotlib.pyplot as plt\nfor i in range(60):\n    plt.figure(figsize=(30, 30))\n    plt.plot(range(9))\n    plt.show()"
        },
        waits=True,
    ),
    Habit(
        "very much memory",
        own={"bc_loss": "held = [bytearray(2**20) for _ in range(20_000)]"},
        waits=True,
    ),
    Habit(
        "very many lines printed",
        own={"bc_loss": "for i in range(10**7):\n    print(i)"},
        waits=True,
    ),
    Habit("cell that is not Python", own={"bc_loss": "this is a note to myself"}, waits=True),
    Habit("cell of another language", own={"bc_loss": "%%bash\necho hello"}),
]
# How answers are written, and how a network is trained.
FORMS = [
    Habit(
        "trial call below an answer",
        changed=_loss(_LOSS + "\n\n\nprint(bc_loss(mlp_agent, batch['obs'], batch['action']))"),
    ),
    Habit(
        "trial call that is kept",
        changed=_loss(_LOSS + "\n\n\ntried = bc_loss(mlp_agent, batch['obs'], batch['action'])"),
    ),
    Habit(
        "plot in an answer",
        changed=_loss(
            _LOSS
            + "\n\n\nimport matplotlib.pyplot as plt\nplt.plot(batch['obs'][0, :, 0].cpu())\nplt.show()"
        ),
    ),
    Habit(
        "answer written twice", own={"bc_loss": "def bc_loss(model, nobs, naction):\n    return 0"}
    ),
    Habit(
        "answer as a lambda",
        changed={"mlp_dims": ("def mlp_dims(", "widths = lambda *a: [*a]\n\n\ndef mlp_dims(")},
    ),
    Habit(
        "copy of the answer's cell",
        own={
            "q1_2": "def bc_loss_2(model, nobs, naction):\n    return bc_loss(model, nobs, naction)"
        },
    ),
    Habit("compiled loss", own={"q1_2": "bc_loss = torch.compile(bc_loss)"}),
    Habit("compiled network", own={"train": "mlp_agent = torch.compile(mlp_agent)"}, trains=True),
    Habit(
        "network in parallel", own={"train": "mlp_agent = nn.DataParallel(mlp_agent)"}, trains=True
    ),
    Habit("network trained in eval mode", own={"train": "mlp_agent.eval()"}, trains=True),
    Habit(
        "learning rate of numpy", changed={"train": ("lr=1e-4", "lr=np.float64(1e-4)")}, trains=True
    ),
    Habit(
        "epochs of numpy",
        changed={"train": ("num_epochs = 300", "num_epochs = np.int64(300)")},
        trains=True,
    ),
    Habit(
        "another optimiser",
        changed={"train": ("torch.optim.AdamW(", "torch.optim.RMSprop(")},
        trains=True,
    ),
]
POLICIES = [
    _policy(
        "batch norm",
        _SEQUENTIAL.format(
            "nn.Linear(state_dim, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, out)"
        ),
    ),
    _policy(
        "dropout",
        _SEQUENTIAL.format(
            "nn.Linear(state_dim, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, out)"
        ),
    ),
    _policy(
        "lazy layers", _SEQUENTIAL.format("nn.LazyLinear(width), nn.ReLU(), nn.LazyLinear(out)")
    ),
    _policy("one layer twice", _TIED),
    _policy(
        "lazy batch norm",
        _SEQUENTIAL.format(
            "nn.LazyLinear(width), nn.LazyBatchNorm1d(), nn.ReLU(), nn.Linear(width, out)"
        ),
    ),
    _policy(
        "compiled inside",
        "        self.net = torch.compile(nn.Sequential(nn.Linear(state_dim, width), nn.ReLU(), nn.Linear(width, out)))",
    ),
]
HABITS = [*NAMES, *SURROUNDINGS, *ELSEWHERE, *FORMS, *POLICIES]
