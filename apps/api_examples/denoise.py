"""Denoise a photo over HTTP: `python denoise.py http://127.0.0.1:7860 photo.jpg result.jpg`.

It needs only `pip install gradio_client`.
"""

import shutil
import sys

from gradio_client import Client, handle_file

url, photo, result = sys.argv[1:4]
client = Client(url, verbose=False)
made, facts = client.predict(
    handle_file(photo), 1.0, "", api_name="/denoise"
)  # photo, strength, model
shutil.copyfile(made, result)
print(facts["reason"])
