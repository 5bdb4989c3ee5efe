# SPDX-License-Identifier: Apache-2.0
"""ringbed: virtual machines with real NIC models, network stacks under load, results as tables.

The package is layered; a module may import what stands below it, never what stands above:

    cli > report > analysis > run > stacks, workloads > steps > provision > vm > imaging
        > host > spec > process, errors, log, paths
"""

__version__ = "0.1.0"
