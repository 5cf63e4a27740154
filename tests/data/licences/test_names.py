from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data.ingest.packages import licence_of
from orionlm.data.licences.names import spdx

BSD = "Copyright (c) N. N.\n\nRedistribution and use in source and binary forms, with or without modification, are …"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("MIT", "MIT"),
        ("The MIT License (MIT)", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("apache-2.0", "Apache-2.0"),
        ("3-Clause BSD License", "BSD-3-Clause"),
        ("BSD", "LicenseRef-BSD"),
        ("GPLv3+", "GPL-3.0-or-later"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "LGPL-3.0-only"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("mit or Apache 2.0", "MIT OR Apache-2.0"),
        ("Apache-2.0 and (mit or BSD-3-Clause)", "Apache-2.0 AND (MIT OR BSD-3-Clause)"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("MIT or something of ours", None),
        ("see the file LICENSE", None),
        ("or", None),
        ("", None),
        ("MIT " * 100, None),
    ],
)
def test_a_licence_is_known_by_its_usual_names(written: str, meant: str | None) -> None:
    assert spdx(written) == meant


@given(st.text(max_size=40) | st.text(alphabet="()MITANDOR ", max_size=40))
def test_any_text_is_answered_and_an_answer_means_itself(written: str) -> None:
    found = spdx(written)
    assert found is None or spdx(found) == found


@pytest.mark.parametrize(
    ("fields", "text", "licence"),
    [
        (["License-Expression: MIT OR Apache-2.0", "License: GPL"], "", "MIT OR Apache-2.0"),
        (["Classifier: License :: OSI Approved :: MIT License"], "", "MIT"),
        (["License: BSD 2-Clause", "Classifier: License :: OSI Approved :: BSD License"], "", "BSD-2-Clause"),
        (["License: Apache 2.0"], "", "Apache-2.0"),
        (["License: see LICENSE"], "", "unknown"),
        ([], "", "unknown"),
        (
            [
                "Classifier: License :: OSI Approved :: MIT License",
                "Classifier: License :: OSI Approved :: Apache Software License",
            ],
            "",
            "Apache-2.0 AND MIT",
        ),
        (
            [
                "License: MIT OR Apache-2.0",
                "Classifier: License :: OSI Approved :: MIT License",
                "Classifier: License :: OSI Approved :: Apache Software License",
            ],
            "",
            "MIT OR Apache-2.0",
        ),
        (["Classifier: License :: OSI Approved :: BSD License"], BSD, "BSD-2-Clause"),
        (["License: BSD"], BSD + "\nNeither the name … may be used to endorse or promote …", "BSD-3-Clause"),
        (["License: BSD"], "do what you like", "LicenseRef-BSD"),
    ],
)
def test_a_packages_licence_is_what_its_metadata_states(
    tmp_path: Path, fields: list[str], text: str, licence: str
) -> None:
    info = tmp_path / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", "Name: toy", "Version: 1.0", *fields, "", ""]))
    (info / "RECORD").write_text("toy.py,,\ntoy-1.0.dist-info/LICENSE.txt,,\n")
    (info / "LICENSE.txt").write_text(text)
    assert licence_of(metadata.PathDistribution(info)) == licence
