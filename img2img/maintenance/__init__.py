"""Maintainers' scripts: studies, the tables of the READMEs, shipping a model, the app measured and
photographed. They belong to the checkout and are left out of the wheel; nothing imports them.
"""
