"""Read the metadata in photos, and in the files beside them.

    reader.py       the entry points: metadata, exposure, and the descriptions in sidecars
    containers.py   find metadata blocks in each kind of picture file
    jpeg.py         XMP in the segments of a JPEG
    exif.py  xmp.py  iptc.py  png.py  takeout.py  file_names.py    parse one kind of metadata each
    dates.py  gps.py  words.py      parse single values
    sidecars.py     match sidecars to photos
    precedence.py   choose the source of each field
    exposure.py     aperture, shutter, ISO and focal length, which no library stores

A change in what is read must increment `pixsearch.metadata.METADATA_VERSION`, so that the next run reads the metadata
of all photos again.

No input makes a reader raise an error or take more than linear time: damaged parts are left out.
"""
