"""Registers "pusht/PushT-v0" with gymnasium.

`import pusht` does this if gymnasium is imported already, and so does the first use of one of the
environments. `gymnasium.make("pusht.registration:pusht/PushT-v0")` works in any order.
"""

import gymnasium

ENV_ID = "pusht/PushT-v0"

if ENV_ID not in gymnasium.registry:
    gymnasium.register(
        id=ENV_ID,
        entry_point="pusht.env_gymnasium:PushTGymnasiumEnv",
        max_episode_steps=500,
    )
