use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage, load_from_memory_with_format};

use super::*;

const SECRET: &[u8] = b"49 deg 24' 44.2\" N";

fn drawn(format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(40, 30, |x, y| {
        image::Rgb([x, y, 128].map(|part| u8::try_from(part * 6 % 256).expect("a byte")))
    });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image).write_to(&mut bytes, format).expect("a picture");
    bytes.into_inner()
}

fn clean(format: Format, bytes: &[u8], piece: usize) -> (Vec<u8>, Option<Picture>) {
    let mut cleaner = Cleaner::new(format);
    let mut out: Vec<u8> = bytes.chunks(piece).flat_map(|piece| cleaner.push(piece)).collect();
    let (rest, picture) = cleaner.finish();
    out.extend_from_slice(&rest);
    (out, picture)
}

/// Cleans it in pieces of every size, which makes no difference; answers with what comes out.
fn cleaned(format: Format, bytes: &[u8]) -> (Vec<u8>, Option<Picture>) {
    let whole = clean(format, bytes, usize::MAX);
    for piece in (1..70).chain([1000]) {
        assert!(clean(format, bytes, piece) == whole, "{format:?} in pieces of {piece}");
    }
    whole
}

fn holds_secret(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, SECRET).is_some()
}

/// The same pixels, and nothing of the secret.
#[track_caller]
fn assert_clean(format: Format, kind: ImageFormat, original: &[u8], spiced: &[u8]) -> Vec<u8> {
    assert!(holds_secret(spiced));
    let (out, picture) = cleaned(format, spiced);
    assert!(!holds_secret(&out), "{format:?}");
    assert!(picture.is_some(), "{format:?}");
    let pixels = |bytes: &[u8]| load_from_memory_with_format(bytes, kind).expect("a picture").to_rgba8();
    assert!(pixels(&out) == pixels(original), "{format:?}");
    // What is clean stays as it is.
    assert!(cleaned(format, &out) == (out.clone(), picture), "{format:?}");
    out
}

fn exif_of(orientation: u8) -> Vec<u8> {
    // Little-endian, with another entry before, and the secret behind.
    let mut tiff = b"II*\0\x08\0\0\0\x02\0".to_vec();
    tiff.extend(b"\x25\x88\x04\0\x01\0\0\0\x26\0\0\0");
    tiff.extend([0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    tiff.extend([0; 4]);
    tiff.extend(SECRET);
    tiff
}

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).expect("short").to_be_bytes();
    [&[0xff, marker], length.as_slice(), content].concat()
}

#[test]
fn a_jpeg_keeps_its_orientation_and_tells_nothing_else() {
    let plain = drawn(ImageFormat::Jpeg);
    let more = [
        segment(0xe1, &[b"Exif\0\0", exif_of(6).as_slice()].concat()),
        segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", SECRET].concat()),
        segment(0xe2, &[b"MPF\0", SECRET].concat()),
        segment(0xed, SECRET),
        segment(0xfe, SECRET),
        vec![0xff, 0xff],
    ];
    // A second picture behind the first, as phones write it.
    let spiced = [&plain[..2], &more.concat()[..], &plain[3..], &plain[..2], SECRET].concat();
    let out = assert_clean(Format::Jpeg, ImageFormat::Jpeg, &plain, &spiced);
    let (_, picture) = cleaned(Format::Jpeg, &spiced);
    assert_eq!(picture, Some(Picture { width: 30, height: 40, orientation: 6 }));
    let told = memchr::memmem::find(&out, b"Exif\0\0").map(|at| exif::orientation(&out[at + 6..]));
    assert_eq!(told, Some(Some(6)));
    assert!(out.ends_with(&[0xff, 0xd9]));
}

#[test]
fn a_png_keeps_only_what_shows() {
    let plain = drawn(ImageFormat::Png);
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let length = u32::try_from(data.len()).expect("short").to_be_bytes();
        [length.as_slice(), kind, data, &[0; 4]].concat()
    };
    let more =
        [chunk(b"eXIf", &exif_of(6)), chunk(b"tEXt", SECRET), chunk(b"iTXt", SECRET), chunk(b"zTXt", SECRET)];
    // Behind the signature and the header.
    let spiced = [&plain[..33], &more.concat()[..], &plain[33..], SECRET].concat();
    assert_eq!(assert_clean(Format::Png, ImageFormat::Png, &plain, &spiced), plain);
}

#[test]
fn a_gif_keeps_only_what_shows() {
    let plain = drawn(ImageFormat::Gif);
    let colours = 13 + usize::try_from(gif::colours(plain[10])).expect("few");
    let length = u8::try_from(SECRET.len()).expect("short");
    let comment = [&[0x21, 0xfe, length], SECRET, &[0]].concat();
    let xmp = [b"\x21\xff\x0bXMP DataXMP", [length].as_slice(), SECRET, &[0]].concat();
    let spiced = [&plain[..colours], &comment, &xmp, &plain[colours..], SECRET].concat();
    assert_eq!(assert_clean(Format::Gif, ImageFormat::Gif, &plain, &spiced), plain);
}

#[test]
fn a_webp_keeps_only_what_shows() {
    let plain = drawn(ImageFormat::WebP);
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let length = u32::try_from(data.len()).expect("short").to_le_bytes();
        [kind, length.as_slice(), data, &[0][..data.len() % 2]].concat()
    };
    let chunks = [
        chunk(b"VP8X", &[0b0000_1100, 0, 0, 0, 39, 0, 0, 29, 0, 0]),
        plain[12..].to_vec(),
        chunk(b"EXIF", &exif_of(6)),
        chunk(b"XMP ", SECRET),
        chunk(b"what", SECRET),
    ]
    .concat();
    let size = u32::try_from(chunks.len() + 4).expect("short").to_le_bytes();
    let spiced = [b"RIFF", size.as_slice(), b"WEBP", &chunks, SECRET].concat();
    let out = assert_clean(Format::Webp, ImageFormat::WebP, &plain, &spiced);
    assert_eq!(out.len(), spiced.len() - SECRET.len());
    assert_eq!(cleaned(Format::Webp, &spiced).1, Some(Picture { width: 40, height: 30, orientation: 1 }));
}

/// A box of ISO/IEC 14496-12.
fn boxed(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    [u32::try_from(content.len() + 8).expect("short").to_be_bytes().as_slice(), &kind, content].concat()
}

/// A picture as phones take it: an item that shows, Exif behind it, and XMP in the table.
fn heif(behind: &[u8]) -> Vec<u8> {
    let entry = |id: u8, kind: &[u8]| boxed(*b"infe", &[&[2, 0, 0, 0, 0, id, 0, 0], kind, &[0]].concat());
    let entries = [entry(1, b"hvc1"), entry(2, b"Exif"), entry(3, b"mime")].concat();
    let info = boxed(*b"iinf", &[&[0, 0, 0, 0, 0, 3], entries.as_slice()].concat());
    let location = |id: u8, method: u8, offset: usize, length: usize| {
        let number = |number: usize| u32::try_from(number).expect("short").to_be_bytes();
        [&[0, id, 0, method, 0, 0, 0, 1], number(offset).as_slice(), &number(length)].concat()
    };
    let first = boxed(*b"ftyp", b"heic\0\0\0\0mif1heic");
    let made = |at: usize| {
        let locations =
            [location(1, 0, at, 9), location(2, 0, at + 9, SECRET.len()), location(3, 1, 0, SECRET.len())];
        let locations =
            boxed(*b"iloc", &[&[1, 0, 0, 0, 0x44, 0, 0, 3], locations.concat().as_slice()].concat());
        let table = [&[0; 4], info.as_slice(), &locations, &boxed(*b"idat", SECRET)].concat();
        [first.as_slice(), &boxed(*b"meta", &table)].concat()
    };
    let head = made(made(0).len() + 8);
    [head.as_slice(), &boxed(*b"mdat", &[b"the image", SECRET, b"and more"].concat()), behind].concat()
}

fn clean_heif(bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut cleaner = Cleaner::for_others("image/heif").expect("it is known");
    let mut out: Vec<u8> = bytes.chunks(piece).flat_map(|piece| cleaner.push(piece)).collect();
    out.extend_from_slice(&cleaner.finish().0);
    out
}

#[test]
fn a_heif_keeps_its_form_and_tells_no_place() {
    let spiced = heif(&boxed(*b"mpvd", SECRET));
    assert!(holds_secret(&spiced));
    let out = clean_heif(&spiced, usize::MAX);
    assert!((1..70).all(|piece| clean_heif(&spiced, piece) == out));
    assert!(!holds_secret(&out));
    assert_eq!(out.len(), spiced.len());
    let changed = out.iter().zip(&spiced).filter(|(clean, before)| clean != before).count();
    assert_eq!(changed, 3 * SECRET.len());
    // Readers want an Exif to have its form.
    let exif = memchr::memmem::find(&out, b"MM\0*\0\0\0\x08\0\0\0\0\0\0").expect("an empty one");
    assert!(out[..exif].ends_with(b"the image\0\0\0\0"));
    assert_eq!(clean_heif(&out, 1000), out);
}

/// A file with so many items of XMP, numbered from 0, that lie where this `iloc` says. A box that is never kept ends it.
fn heif_with(items: u16, locations: &[u8]) -> Vec<u8> {
    let entries: Vec<u8> = (0..items)
        .flat_map(|id| {
            let id = id.to_be_bytes();
            boxed(*b"infe", &[&[2, 0, 0, 0], id.as_slice(), b"\0\0mime\0"].concat())
        })
        .collect();
    let info = boxed(*b"iinf", &[&[0; 6], entries.as_slice()].concat());
    let table = [&[0; 4], info.as_slice(), &boxed(*b"iloc", locations)].concat();
    let first = boxed(*b"ftyp", b"heic\0\0\0\0mif1heic");
    [first, boxed(*b"meta", &table), boxed(*b"mdat", &[b'x'; 200]), boxed(*b"mpvd", SECRET)].concat()
}

/// An `iloc` of version 0, whose offsets and lengths take so many bytes.
fn locations(sizes: u8, items: u16, content: &[u8]) -> Vec<u8> {
    [&[0; 4], [sizes, 0].as_slice(), &items.to_be_bytes(), content].concat()
}

/// An item of such an `iloc`, in parts of these offsets and lengths.
fn item(id: u16, extents: &[(usize, usize)]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).expect("short").to_be_bytes();
    let parts = extents.iter().flat_map(|(offset, length)| [number(*offset), number(*length)].concat());
    let count = u16::try_from(extents.len()).expect("few").to_be_bytes();
    [id.to_be_bytes(), [0, 0], count].concat().into_iter().chain(parts).collect()
}

#[test]
fn a_heif_that_says_much_in_few_bytes_is_no_picture() {
    let is_one = |bytes: &[u8]| {
        let out = clean_heif(bytes, usize::MAX);
        assert_eq!(out.len(), bytes.len());
        assert!(out == bytes || !holds_secret(&out));
        out != bytes
    };
    // One part without bytes is all of the file; as many as can be of each of many items are gigabytes.
    assert!(is_one(&heif_with(1, &locations(0, 1, &[0, 0, 0, 0, 0, 1]))));
    assert!(!is_one(&heif_with(1, &locations(0, 1, &[0, 0, 0, 0, 0, 2]))));
    assert!(!is_one(&heif_with(1, &locations(0, 2000, &[0, 0, 0, 0, 0xff, 0xff].repeat(2000)))));
    // That they belong to what shows makes them no better.
    assert!(!is_one(&heif_with(0, &locations(0, 2000, &[0, 0, 0, 0, 0xff, 0xff].repeat(2000)))));
    // Many items, many parts of one, and one many times.
    assert!(is_one(&heif_with(1024, &locations(0x44, 0, &[]))));
    assert!(!is_one(&heif_with(1025, &locations(0x44, 0, &[]))));
    assert!(is_one(&heif_with(1, &locations(0x44, 1, &item(0, &[(700, 1)].repeat(1024))))));
    assert!(!is_one(&heif_with(1, &locations(0x44, 1, &item(0, &[(700, 1)].repeat(1025))))));
    assert!(!is_one(&heif_with(1, &locations(0x44, 600, &item(0, &[(700, 1)].repeat(2)).repeat(600)))));
    // Those of what shows are not counted, nor are those that hold nothing.
    assert!(is_one(&heif_with(1, &locations(0x44, 1, &item(1, &[(700, 1)].repeat(5000))))));
    assert!(is_one(&heif_with(1, &locations(0x44, 1, &item(0, &[(700, 0)].repeat(5000))))));
}

#[test]
fn parts_of_a_heif_that_overlap_are_all_overwritten() {
    let start = heif_with(1, &locations(0x44, 1, &item(0, &[(0, 0); 60]))).len() - 200 - 8 - SECRET.len();
    // A generator of its own makes the same cases each time.
    let mut random = 7_usize;
    let mut next = |below: usize| {
        random = (random * 1_103_515_245 + 12_345) % (1 << 31);
        (random >> 8) % below
    };
    for _ in 0..100 {
        let parts: Vec<_> = (0..60).map(|_| (start + next(190), next(11))).collect();
        let bytes = heif_with(1, &locations(0x44, 1, &item(0, &parts)));
        let out = clean_heif(&bytes, 1 + next(300));
        for at in 0..200 {
            let covered =
                parts.iter().any(|(offset, length)| (*offset..offset + length).contains(&(start + at)));
            assert_eq!(out[start + at], if covered { 0 } else { b'x' });
        }
    }
}

#[test]
fn whatever_a_heif_says_of_itself_it_goes_on_at_its_length() {
    let plain = heif(b"");
    for at in 0..plain.len() {
        for byte in [0, 1, 8, 0x7f, 0xff] {
            let mut bytes = plain.clone();
            bytes[at] = byte;
            assert_eq!(clean_heif(&bytes, 50).len(), bytes.len());
            assert_eq!(clean_heif(&bytes[..at], 50).len(), at);
        }
    }
}

#[test]
fn whatever_it_is_it_ends_and_what_is_no_picture_passes_unchanged() {
    let formats = [
        (Format::Jpeg, ImageFormat::Jpeg),
        (Format::Png, ImageFormat::Png),
        (Format::Gif, ImageFormat::Gif),
        (Format::Webp, ImageFormat::WebP),
    ];
    // A generator of its own makes the same cases each time (Knuth's MMIX).
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).expect("31 bits") % below
    };
    for (format, kind) in formats {
        let plain = drawn(kind);
        for _ in 0..3000 {
            let mut bytes = plain.clone();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                bytes[at] = u8::try_from(next(256)).expect("a byte");
            }
            bytes.truncate(next(bytes.len()) + 1);
            let (out, picture) = clean(format, &bytes, next(300) + 1);
            if picture.is_none() && out.len() >= bytes.len() {
                assert!(out.len() <= bytes.len() + 36, "{format:?}");
            }
        }
        let other = [b"no picture".as_slice(), &plain].concat();
        assert!(cleaned(format, &other) == (other.clone(), None), "{format:?}");
    }
}

#[test]
fn the_size_is_read_without_decoding() {
    // A bomb: a header that promises much, and nothing behind it.
    let mut png = drawn(ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
    let (_, picture) = cleaned(Format::Png, &png);
    assert_eq!(picture, Some(Picture { width: 50_000, height: 50_000, orientation: 1 }));
}
