//! The parameter `route`, and its resolution to a route of the site.

use crate::http::error::ApiError;
use crate::http::question::{given, short};
use crate::intake::lookup;
use fieldvitals_store::{Site, Store};
use serde::Deserialize;
use utoipa::IntoParams;

/// The route of a report.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RouteParam {
    /// The route as reported (`/größe`, `/p/:id`), or a path or URL of it (`/gr%C3%B6%C3%9Fe/`, `/p/12345`); the whole
    /// site when absent.
    route: Option<String>,
}

/// The route of a query.
pub(in crate::http) struct ResolvedRoute {
    /// Name of the route; `None` for the whole site.
    pub(in crate::http) name: Option<String>,
    /// Similar routes, if the site has none of this name.
    pub(in crate::http) nearest: Vec<String>,
}

impl RouteParam {
    /// The parameter, unless it is empty.
    pub(in crate::http) fn text(&self) -> Option<&str> {
        given(&self.route)
    }

    /// Returns the parameter if it is a pattern (`/c/*`) and no route has this name. A rule of the site may name a route
    /// `/docs/*`.
    pub(in crate::http) async fn pattern(
        &self,
        store: &dyn Store,
        site: &Site,
    ) -> Result<Option<String>, ApiError> {
        let Some(text) = given(&self.route).filter(|text| text.contains('*')) else { return Ok(None) };
        let known = store.route_names(site.id).await?;
        Ok((!known.iter().any(|name| name == text)).then(|| text.to_owned()))
    }

    /// Resolves the parameter to one of the site's route names. Fills `nearest` if there is no exact match.
    ///
    /// # Errors
    /// 400 for a pattern: only rankings take one.
    pub(in crate::http) async fn asked(
        &self,
        store: &dyn Store,
        site: &Site,
    ) -> Result<ResolvedRoute, ApiError> {
        let Some(text) = given(&self.route) else {
            return Ok(ResolvedRoute { name: None, nearest: Vec::new() });
        };
        let known = store.route_names(site.id).await?;
        let mut names = lookup::names(text, site);
        if let Some(name) = names.iter().find(|name| known.contains(name)) {
            return Ok(ResolvedRoute { name: Some(name.clone()), nearest: Vec::new() });
        }
        if text.contains('*') {
            return Err(ApiError::parameter(format!(
                "`route` is the pattern `{}`, which only a ranking of routes takes (`pages`, `summary`; `fieldvitals report \
                 --route` alone); name one route here",
                short(text)
            )));
        }
        let nearest = lookup::nearest(text, &known).into_iter().map(str::to_owned).collect();
        Ok(ResolvedRoute { name: names.pop(), nearest })
    }
}
