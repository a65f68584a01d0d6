//! Country codes, as headers of proxies and networks give them.

/// The assigned codes of ISO 3166-1 alpha-2, concatenated in ascending order.
const CODES: &str = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCO\
    CRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIO\
    IQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENF\
    NGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTK\
    TLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZW";

/// Normalizes a country code of either case. Returns `None` for codes that are not assigned, such as `XX` and `T1`,
/// which networks send for unknown countries.
#[must_use]
pub fn of_code(code: &str) -> Option<&'static str> {
    let code: [u8; 2] = code.trim().as_bytes().try_into().ok()?;
    let code = code.map(|letter| letter.to_ascii_uppercase());
    let pairs = CODES.as_bytes().as_chunks::<2>().0;
    let place = pairs.binary_search(&code).ok()?.checked_mul(2)?;
    CODES.get(place..place.checked_add(2)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_assigned_codes_are_countries() {
        let pairs = CODES.as_bytes().as_chunks::<2>();
        assert!(pairs.1.is_empty() && pairs.0.is_sorted());
        // The number of codes assigned since 2011.
        assert_eq!(pairs.0.len(), 249);
        for (text, country) in [
            ("DE", Some("DE")),
            ("de", Some("DE")),
            (" fr ", Some("FR")),
            ("AD", Some("AD")),
            ("zw", Some("ZW")),
        ] {
            assert_eq!(of_code(text), country, "{text}");
        }
        for text in ["", "X", "XX", "T1", "EU", "UK", "DEU", "Germany", "é", "D\0", "--"] {
            assert_eq!(of_code(text), None, "{text}");
        }
    }
}
