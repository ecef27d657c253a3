//! Which headers a download carries.
//!
//! Everything uploaded is treated as hostile: no sniffing, no scripts, and shown inline only where the type
//! is known to do nothing. parse-server sends only `X-Content-Type-Options` and shows everything inline.

use super::mime;
use crate::types::percent::encode_component;

/// Sent with every download. Images and sounds inside other pages are not touched by it; a file opened as
/// a page of its own can load and run nothing, and has no origin.
pub const SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; media-src 'self'; sandbox";

/// Types that are shown inline.
const INLINE: &[&str] = &[
    "application/pdf",
    "audio/aac",
    "audio/flac",
    "audio/midi",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "audio/webm",
    "audio/x-wav",
    "image/apng",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/heic",
    "image/heif",
    "image/jpeg",
    "image/jxl",
    "image/png",
    "image/tiff",
    "image/webp",
    "image/x-icon",
    "text/plain",
    "video/3gpp",
    "video/mp4",
    "video/mpeg",
    "video/ogg",
    "video/quicktime",
    "video/webm",
];

/// Types that are text although they are not called so.
const TEXT: &[&str] = &["application/javascript", "application/json", "application/manifest+json"];

/// The type for a name: by extension, else what the store kept, else bytes.
pub fn content_type(file_name: &str, stored: Option<&str>) -> String {
    let usable = |t: &&str| t.contains('/') && t.bytes().all(|c| (0x20..0x7f).contains(&c));
    let mut content_type =
        mime::type_of(file_name).or(stored.filter(usable)).unwrap_or("application/octet-stream").to_owned();
    // Without it browsers guess the encoding, UTF-7 and UTF-16 included.
    let essence = mime::essence(&content_type);
    let is_text = essence.starts_with("text/") || TEXT.contains(&essence.as_str());
    if is_text && !content_type.to_ascii_lowercase().contains("charset=") {
        content_type.push_str("; charset=utf-8");
    }
    content_type
}

/// Whether a type may be shown in a browser window.
pub fn is_inline(content_type: &str) -> bool {
    INLINE.contains(&mime::essence(content_type).as_str())
}

/// `Content-Security-Policy` for a type. The PDF viewers of browsers refuse to work in a sandbox, and PDF
/// scripts have no access to the page's origin.
pub fn security_policy(content_type: &str) -> Option<&'static str> {
    (mime::essence(content_type) != "application/pdf").then_some(SECURITY_POLICY)
}

/// `Content-Disposition: attachment` with the last segment of the name; names outside of plain ASCII come
/// encoded as well (RFC 6266).
pub fn attachment(file_name: &str) -> String {
    let last = file_name.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "@.~_-".contains(c);
    if !last.is_empty() && last.chars().all(plain) {
        return format!("attachment;filename={last}");
    }
    let fallback: String = last.chars().map(|c| if plain(c) || c == ' ' { c } else { '_' }).collect();
    format!("attachment;filename=\"{fallback}\";filename*=UTF-8''{}", encode_component(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_the_extension() {
        assert_eq!(content_type("a.png", Some("text/html")), "image/png");
        assert_eq!(content_type("a", Some("x/y")), "x/y");
        assert_eq!(content_type("a", Some("x/y\r\nSet-Cookie: a")), "application/octet-stream");
        assert_eq!(content_type("a", Some("nonsense")), "application/octet-stream");
        assert_eq!(content_type("a", None), "application/octet-stream");
        assert_eq!(content_type("a.txt", None), "text/plain; charset=utf-8");
        assert_eq!(content_type("a.html", None), "text/html; charset=utf-8");
        assert_eq!(content_type("a", Some("text/x; charset=latin1")), "text/x; charset=latin1");
        assert_eq!(content_type("a.json", None), "application/json; charset=utf-8");
    }

    #[test]
    fn only_harmless_types_are_shown() {
        assert!(INLINE.is_sorted());
        for harmless in
            ["image/png", "IMAGE/JPEG", "text/plain; charset=utf-8", "video/mp4", "application/pdf"]
        {
            assert!(is_inline(harmless), "{harmless}");
        }
        for risky in [
            "text/html",
            "image/svg+xml",
            "application/xml",
            "text/xml",
            "application/xhtml+xml",
            "text/css",
            "text/javascript",
            "application/json",
            "application/octet-stream",
            "application/x-shockwave-flash",
            "multipart/x-mixed-replace",
            "application/gpx+xml",
            "image",
            "",
            "text/vtt",
            "message/rfc822",
        ] {
            assert!(!is_inline(risky), "{risky}");
            assert!(security_policy(risky).is_some_and(|p| p.contains("sandbox")));
        }
    }

    #[test]
    fn attachment_names_cannot_inject() {
        assert_eq!(attachment("d/e/a_b.txt"), "attachment;filename=a_b.txt");
        assert_eq!(attachment("a b.txt"), "attachment;filename=\"a b.txt\";filename*=UTF-8''a%20b.txt");
        assert_eq!(
            attachment("ü\"\r\n.txt"),
            "attachment;filename=\"____.txt\";filename*=UTF-8''%C3%BC%22%0D%0A.txt"
        );
    }
}
