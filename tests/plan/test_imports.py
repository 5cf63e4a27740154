from __future__ import annotations

import subprocess
import sys


def test_reading_runs_fitting_and_forecasting_import_neither_torch_nor_scipy_at_the_start():
    modules = "orionlm.gain.runs, orionlm.plan.fit, orionlm.plan.forecast, orionlm.plan.simulate"
    code = f"import sys, {modules}; assert not {{'torch', 'scipy', 'pyarrow'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command_file_imports_no_numpy_before_it_runs():
    code = "import sys, orionlm.cli.fit; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
