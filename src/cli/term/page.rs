//! A page of HTML by itself: no script, nothing from elsewhere, everything that somebody wrote escaped. It prints on paper
//! with the headings of its tables on every sheet.

use std::fmt::Write;

use super::text::clean;

/// What the page says, part by part.
#[derive(Debug)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// When it was made.
    pub at: String,
    /// Its parts.
    pub sections: Vec<Section>,
}

/// One table. Without columns its rows are labels and values.
#[derive(Debug)]
pub struct Section {
    /// What it is of.
    pub heading: String,
    /// The names of its columns.
    pub columns: Vec<&'static str>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
}

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#111}h1{font-size:1.4em}h2{font-size:1.1em;\
    margin-top:2em}table{border-collapse:collapse;width:100%}th,td{border-bottom:1px solid #ccc;padding:.3em .6em;\
    text-align:left;vertical-align:top;overflow-wrap:anywhere}thead{display:table-header-group}tr{break-inside:avoid}\
    @page{margin:15mm;size:landscape}@media print{body{margin:0;font-size:10pt}}";

impl Page {
    /// The page.
    #[must_use]
    pub fn html(&self) -> String {
        let title = escaped(&self.title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<p>Made {}</p>\n",
            escaped(&self.at)
        );
        self.sections.iter().for_each(|section| section.write(&mut page));
        page.push_str("</body></html>\n");
        page
    }
}

impl Section {
    fn write(&self, page: &mut String) {
        // Writing to a text cannot fail.
        let _ = writeln!(page, "<h2>{}</h2>", escaped(&self.heading));
        if self.rows.is_empty() {
            page.push_str("<p>None.</p>\n");
            return;
        }
        page.push_str("<table>\n");
        if !self.columns.is_empty() {
            let cells: String = self.columns.iter().map(|name| format!("<th>{}</th>", escaped(name))).collect();
            let _ = writeln!(page, "<thead><tr>{cells}</tr></thead>");
        }
        page.push_str("<tbody>\n");
        for row in &self.rows {
            let cells: String = row.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
            let _ = writeln!(page, "<tr>{cells}</tr>");
        }
        page.push_str("</tbody></table>\n");
    }
}

/// Text as HTML: what could be read as markup, or could deceive, is neither.
fn escaped(text: &str) -> String {
    let text = clean(text);
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_is_never_markup() {
        let cell = "<script>alert('x')</script> & \"y\"\u{202e}\u{1b}[2J".to_owned();
        let section = Section { heading: "<b>".into(), columns: vec!["a"], rows: vec![vec![cell]] };
        let html = Page { title: "t</title>".into(), at: String::new(), sections: vec![section] }.html();
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;"), "{html}");
        assert!(!html.contains("<script") && !html.contains("<b>") && html.matches("</title>").count() == 1);
        assert!(!html.contains('\u{202e}') && !html.contains('\u{1b}'));
    }

    #[test]
    fn a_part_without_rows_says_so() {
        let section = Section { heading: "Faults".into(), columns: vec!["grant"], rows: Vec::new() };
        let html = Page { title: String::new(), at: String::new(), sections: vec![section] }.html();
        assert!(html.contains("<h2>Faults</h2>\n<p>None.</p>"));
    }
}
