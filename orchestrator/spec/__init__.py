# SPDX-License-Identifier: Apache-2.0
"""WHAT: an experiment file as frozen models. Everything above this package may import it."""
