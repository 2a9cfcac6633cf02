"""What a photo says about itself, and what the files beside it say.

    reader.py       what can be read: metadata, exposure, and what is beside a photo
    containers.py   where it lies in each kind of picture file
    jpeg.py         XMP in the segments of a JPEG
    exif.py  xmp.py  iptc.py  png.py  takeout.py  file_names.py    what it says, one file for each kind
    dates.py  gps.py  words.py      what a text means
    sidecars.py     which file belongs to which photo
    precedence.py   which source wins for each field
    exposure.py     aperture, shutter, ISO and focal length, which no library stores

A change of what is read is one more in `pixsearch.metadata.METADATA_VERSION`: it makes the next run read the
metadata of all photos again.

No input makes a reader raise anything, or take more than linear time: what is damaged is left out.
"""
