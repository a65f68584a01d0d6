//! The snippet's queue: arrays `[kind, numbers…, texts…]`.

use super::part::{Any, Part, Read, Scalar, scalar};
use super::{Dropped, Field, OrNoted, Raw};
use crate::entry::{Item, NUMBERS_MAX, TEXTS_MAX};
use crate::limits;
use crate::view::ViewId;
use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess};
use std::borrow::Cow;

/// The fields of a raw queue's object.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Id,
    Now,
    Queue,
    #[serde(other)]
    Unknown,
}

/// The object of a raw queue.
pub(super) struct RawPart<'a> {
    dropped: &'a mut Dropped,
    id: Option<ViewId>,
    now: Option<f64>,
    queue: Option<Vec<Item>>,
}

impl<'a> RawPart<'a> {
    pub(super) const fn new(dropped: &'a mut Dropped) -> Self {
        Self { dropped, id: None, now: None, queue: None }
    }
}

impl<'de> Part<'de> for RawPart<'_> {
    type Out = Option<Raw>;

    fn unusable(self) -> Self::Out {
        self.dropped.because(Field::Raw, || "`raw` is not the object of a raw queue".to_owned());
        None
    }

    fn object<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Out, A::Error> {
        while let Some(key) = map.next_key()? {
            match key {
                Key::Id => self.id = scalar(&mut map)?.named(ViewId::parse),
                Key::Now => self.now = scalar(&mut map)?.number(),
                Key::Queue => self.queue = map.next_value_seed(Read(Queue(self.dropped)))?,
                Key::Unknown => {
                    map.next_value_seed(Read(Any))?;
                    self.dropped.note(Field::Unknown);
                }
            }
        }
        Ok(raw(self.id, self.now, self.queue, self.dropped))
    }
}

/// Builds a raw queue from its parts; `None` if the id or the items are missing.
pub(super) fn raw(
    id: Option<ViewId>,
    now: Option<f64>,
    queue: Option<Vec<Item>>,
    dropped: &mut Dropped,
) -> Option<Raw> {
    let Some(id) = id else {
        let problem =
            || "the queue has no page view id: a UUID version 7, or what it is drawn from".to_owned();
        dropped.because(Field::Raw, problem);
        return None;
    };
    let Some(queue) = queue else {
        dropped.because(Field::Raw, || "the queue is not an array of items".to_owned());
        return None;
    };
    Some(Raw { id, now: now.or_noted(Field::Raw, dropped), queue })
}

pub(super) struct Queue<'a>(pub(super) &'a mut Dropped);

impl<'de> Part<'de> for Queue<'_> {
    type Out = Option<Vec<Item>>;

    fn unusable(self) -> Self::Out {
        None
    }

    fn array<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Out, A::Error> {
        let mut queue = Vec::new();
        for _ in 0..limits::QUEUE_ITEMS_MAX {
            match seq.next_element_seed(Read(ItemPart))? {
                None => return Ok(Some(queue)),
                Some(ReadItem::Known(item)) => queue.push(item),
                Some(ReadItem::Unknown) => {}
                Some(ReadItem::Broken) => {
                    let problem = || "an item of `queue` is not an array of a kind, numbers and texts";
                    self.0.because(Field::Raw, || problem().to_owned());
                }
            }
        }
        while seq.next_element_seed(Read(Any))?.is_some() {
            self.0.note(Field::Raw);
        }
        Ok(Some(queue))
    }
}

/// One array of a queue.
enum ReadItem {
    Known(Item),
    /// Its kind belongs to a later snippet.
    Unknown,
    /// It has a field that is neither number nor text. JSON writes NaN as null.
    Broken,
}

struct ItemPart;

impl<'de> Part<'de> for ItemPart {
    type Out = ReadItem;

    fn unusable(self) -> ReadItem {
        ReadItem::Broken
    }

    fn array<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ReadItem, A::Error> {
        let Some(kind) = seq.next_element_seed(Read(Any))? else { return Ok(ReadItem::Broken) };
        let mut broken = !matches!(kind, Scalar::Integer(_));
        let mut numbers = [0.0; NUMBERS_MAX];
        let mut number_slots = numbers.iter_mut();
        let mut texts: [String; TEXTS_MAX] = Default::default();
        let mut text_slots = texts.iter_mut();
        while let Some(field) = seq.next_element_seed(Read(Any))? {
            match (field.number(), field) {
                (Some(number), _) => {
                    if let Some(slot) = number_slots.next() {
                        *slot = number;
                    }
                }
                (None, Scalar::Text(text)) => {
                    if let Some(slot) = text_slots.next() {
                        *slot = Cow::into_owned(text);
                    }
                }
                _ => broken = true,
            }
        }
        if broken {
            return Ok(ReadItem::Broken);
        }
        let kind = kind.whole().and_then(|kind| u8::try_from(kind).ok());
        let id = texts.first().and_then(|text| ViewId::parse(text));
        let item = kind.and_then(|kind| Item::from_fields(kind, &numbers, id, texts));
        Ok(item.map_or(ReadItem::Unknown, ReadItem::Known))
    }
}
