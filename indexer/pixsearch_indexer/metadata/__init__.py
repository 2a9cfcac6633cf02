"""Read metadata from photos and from the files next to them.

    reader.py       the entry points: metadata, exposure, and the descriptions in sidecars
    containers.py   find metadata blocks in each kind of picture file
    jpeg.py         find XMP in the segments of a JPEG
    exif.py  xmp.py  iptc.py  png.py  takeout.py  file_names.py    parse one kind of metadata each
    dates.py  gps.py  words.py      parse single values
    sidecars.py     match sidecars to photos
    precedence.py   choose the source of each field
    exposure.py     read aperture, shutter speed, ISO and focal length, which libraries do not store

After a change to what is read, increment `pixsearch.metadata.METADATA_VERSION` so that the next run reads the metadata
of all photos again.

Whatever the input, readers raise no errors and take at most linear time. Damaged parts are left out.
"""
