"""The README's slice is the bank of the examples, to the last name."""

import ast
import re

from tests.docs.pages import ROOT


def test_the_slice_of_the_readme_is_the_bank_of_the_examples() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    slice_ = re.search(r"```python\n# file: bank\.py\n(.*?)```", readme, re.DOTALL)
    assert slice_
    example = ast.parse((ROOT / "examples" / "bank" / "__init__.py").read_text(encoding="utf-8"))
    assert ast.dump(ast.parse(slice_[1])) == ast.dump(ast.Module(example.body[1:], []))
