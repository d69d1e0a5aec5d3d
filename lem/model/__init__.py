"""The network: shared market context and eight heads. Training and the gate do not belong here."""
