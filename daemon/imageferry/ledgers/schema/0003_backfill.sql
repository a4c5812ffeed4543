-- A back-fill of some policies asks no others about the image: a JSON list of names; NULL: all of them are asked.
ALTER TABLE images ADD COLUMN only_policies TEXT;
