"""Make pictures from noise over HTTP: `python generate.py http://127.0.0.1:7860 MODEL grid.png`.

It needs only `pip install gradio_client`. MODEL "" is the first model that makes pictures.
"""

import shutil
import sys

from gradio_client import Client

url, model, result = sys.argv[1:4]
client = Client(url, verbose=False)
# label ("" for every class in turn), seed, count, to_seed (a number for a walk from seed to there),
# model
made, facts = client.predict("", 7, 16, None, model, api_name="/generate")
shutil.copyfile(made, result)
print(f"{facts['model']}: {', '.join(facts['made'])}")
