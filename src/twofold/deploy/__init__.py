"""Containers from an application: images, Compose, Kubernetes, monitoring and a pipeline, as files.

Everything is pure: a project and an application become a topology, a topology becomes texts. Nothing here starts
anything or reads the environment, so the same commit gives the same files on every machine.
"""
