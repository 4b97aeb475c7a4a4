"""Manifests for Kubernetes: a Kustomize base, and overlays for development and production.

The base is what every cluster gets: services, gateway, migration, network policies. `dev` adds PostgreSQL and its
secrets; `production` adds scaling, disruption budgets and the Ingress, and refers to secrets that exist there.
"""
