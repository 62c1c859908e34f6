"""One file a tab; each has `build(service, …)`, called inside its `gr.Tab`."""
