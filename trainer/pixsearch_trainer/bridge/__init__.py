"""The recipe for few pairs: CNN and language model stay frozen, and what lies between is trained part by part."""
