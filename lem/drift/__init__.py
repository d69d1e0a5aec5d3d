"""Drift: has the market changed since a champion's training, and are its gains below the gate's figure?"""
