"""`python -m img2img` and `torchrun -m img2img`."""

from img2img.cli import main

raise SystemExit(main())
