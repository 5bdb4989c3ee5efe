# SPDX-License-Identifier: Apache-2.0
"""How a machine exists: definition, life cycle, snapshots, ssh, console.

model        what a machine is: plain data, known before anything starts
hypervisor   a libvirt connection and the state directory of one run
machine      one guest: start, wait, ssh, save, restore, destroy
group        several guests and the links between them, brought up together
guest        what is done inside a running guest to its NICs: queues, VFs, impairments
lease        machines that outlive the process that started them
sweep        removes what killed processes left behind

Only this folder imports libvirt. Nothing here knows about experiments.
"""
