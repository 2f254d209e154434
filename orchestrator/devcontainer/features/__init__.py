"""Features of dev containers: parts that a configuration asks for by name, with options, and that are installed into the image.

    references -> resolve (asks ``cache``, and that ``oci``) -> manifest -> graph -> order -> FeatureSet

``resolve.resolve_features`` is the way in. What a registry or an archive says is judged before it is believed: digests, sizes, names.
"""
