"""Questions with answers that can be checked: suites, generators, graders. No torch."""
