from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data.licences.policy import is_licence
from orionlm.data.quality import headers
from orionlm.data.quality.headers import generated, licence

APACHE = """#!/usr/bin/env python
# Copyright 2024 Somebody. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
"""
BSD3 = """/*
 * Redistribution and use in source and binary
 * forms, with or without modification, are permitted
 * Neither the name of the copyright holder nor
 */"""


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (APACHE, "Apache-2.0"),
        (BSD3, "BSD-3-Clause"),
        (BSD3.replace("Neither the name", "Nothing"), "BSD-2-Clause"),
        ("// SPDX-License-Identifier: Apache-2.0 OR MIT\n", "Apache-2.0 OR MIT"),
        ("<!-- SPDX-License-Identifier: MIT -->", "MIT"),
        ("/* SPDX-License-Identifier: GPL-2.0-only */", "GPL-2.0-only"),
        ("# Permission is hereby granted, free of charge, to any person", "MIT"),
        ("# the GNU General Public License, version 3, or\n# any later version", "GPL-3.0-or-later"),
        ("# GNU Lesser General Public License version 2.1", "LGPL-2.1-only"),
        ("# This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0.", "MPL-2.0"),
        ("# Copyright (c) Somebody. All Rights Reserved.", "LicenseRef-all-rights-reserved"),
        ("# colour: #cc0\n# see the licence", ""),
        ("import this", ""),
    ],
)
def test_the_licence_of_a_header_has_its_spdx_name(head, expected):
    assert licence(head + "\nimport os\n") == expected


def test_a_licence_further_down_is_no_header():
    assert licence("x = 1\n" * 2000 + APACHE) == ""


def test_every_name_is_one_that_a_policy_knows():
    assert all(is_licence(name) for name, _ in headers._PHRASES)


@given(st.text())
def test_any_head_can_be_asked(text):
    assert generated(text) == "" or generated(text) in " ".join(text.split("\n"))
    licence(text), licence("copyright " + text)
